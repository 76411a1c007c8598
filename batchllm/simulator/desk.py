"""What is answered to a request: refused, spoiled or served. No network, and `now` is an argument."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from math import inf
from typing import Any, Protocol

import orjson

from batchllm.simulator import chat, completions, embeddings, headers, moderations, responses, sse
from batchllm.simulator.dialects import DIALECTS, refusal
from batchllm.simulator.faults import CONTENT, WIRE, Attempts, Fault
from batchllm.simulator.ledger import record_of
from batchllm.simulator.limits import Admission, Denial
from batchllm.simulator.options import SimulatorOptions
from batchllm.simulator.prefix_cache import PrefixCache
from batchllm.simulator.refusals import Kind
from batchllm.simulator.reply import Call, Made, Reply
from batchllm.simulator.rules import objection
from batchllm.simulator.seeds import key_of, mix

_REFUSALS: Mapping[Fault, Kind] = {
    "rate_limit": "rate_limited",
    "server_error": "server_error",
    "unavailable": "unavailable",
    "quota": "no_credit",
    "unauthorized": "bad_key",
}
_DENIALS: Mapping[str, Kind] = {"requests": "rate_limited", "tokens": "tokens_limited", "in_flight": "busy"}
_EVENTS = "text/event-stream; charset=utf-8"
_LATENCY_SALT = 0x1A7
_WAITS: frozenset[Kind] = frozenset({"rate_limited", "tokens_limited", "busy", "unavailable"})
_NOT_UNDERSTOOD = (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, RecursionError)
"""What a schema or a field of the wrong kind leads to in the makers, which check nothing: a 400."""
_PAGE = b"<!DOCTYPE html>\n<html><title>Sign in</title><body><h1>Please sign in</h1></body></html>\n"


class Endpoint(Protocol):
    """A module that answers one kind of request."""

    def made(self, call: Call) -> Made: ...
    def prompt_tokens(self, body: dict[str, Any]) -> int: ...


ENDPOINTS: Mapping[str, Endpoint] = {
    "chat": chat,
    "completions": completions,
    "embeddings": embeddings,
    "responses": responses,
    "moderations": moderations,
}


class Desk:
    """Answers for one server: holds the limits, the attempts and how many answers were given."""

    def __init__(self, options: SimulatorOptions, now: float) -> None:
        self.options = options
        self.dialect = DIALECTS[options.dialect]
        self.admission = Admission(options.limits, now)
        self.served = 0
        self._attempts = Attempts()
        self._counts_attempts = not options.faults.none or options.latency.sigma > 0
        self._requests = 0
        self._cache = None
        if options.prefix_cache is not None:
            self._cache = PrefixCache(options.prefix_cache, options.latency.first_s())

    def answer(self, endpoint: str, raw: bytes, now: float, key: str | None = None, tag: str | None = None) -> Reply:
        """The reply to a POST: `key` is the API key that came with it, `tag` its X-Request-Tag."""
        self._requests += 1
        if kind := self._account_refuses(key):
            return self.refused(kind, now)
        body = _parsed(raw)
        if body is None:
            return self.refused("bad_request", now, "We could not parse the JSON body of your request.")
        if found := objection(endpoint, body, self.dialect, self.options):
            return self.refused(found[0], now, found[1])
        try:
            return self._answered(ENDPOINTS[endpoint], raw, body, now, tag)
        except _NOT_UNDERSTOOD as error:
            return self.refused("bad_request", now, f"Invalid request: {error!r}")

    def _answered(self, maker: Endpoint, raw: bytes, body: dict[str, Any], now: float, tag: str | None) -> Reply:
        tokens = maker.prompt_tokens(body)
        if self.options.context_tokens is not None and tokens > self.options.context_tokens:
            return self.refused("too_long", now)
        if denial := self.admission.ask(max(tokens, _max_tokens(body)), now):
            return self._denied(denial, now)
        digest = sha256(raw)
        cached = None if self._cache is None else min(tokens, self._cache.look(body, now))
        call = Call(body, key_of(self.options.seed, digest.digest()), self.options, self.dialect, cached=cached)
        attempt = self._attempts.count(call.key) if self._counts_attempts else 1
        fault = self._fault(call.key, attempt)
        if fault and (reply := self._failed(fault, call, now)):
            return reply
        made = maker.made(replace(call, fault=fault) if fault in CONTENT else call)
        reply = self._served(made, now)
        self.served += 1
        record = record_of(digest.hexdigest(), body, tag, made, fault) if self.options.ledger else None
        pace = mix(mix(call.key, _LATENCY_SALT), attempt)
        return replace(reply, fault=fault if fault in WIRE else None, record=record, pace=pace)

    def refused(self, kind: Kind, now: float, message: str | None = None, wait_s: float | None = None) -> Reply:
        """A refusal in the dialect's words; `wait_s` is what Retry-After says, where this kind has one."""
        no = refusal(self.dialect, kind)
        request_id = self._request_id()
        sent = headers.common(self.dialect, request_id) + headers.rates(self.dialect, self.admission, now, kind == "no_credit")
        if kind in _WAITS and wait_s != inf:
            sent += headers.waiting(self.dialect, self.options.retry_after_s if wait_s is None else wait_s)
        body = self.dialect.error_shape(no, message or no.message, request_id)
        return Reply(no.status, orjson.dumps(body), sent)

    def listed(self, body: dict[str, Any]) -> Reply:
        """A 200 that is no completion: the list of models, health."""
        return Reply(200, orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS), headers.common(self.dialect, self._request_id()))

    def turned_away(self, key: str | None) -> Kind | None:
        """Why nobody with this key is answered; None for a key that is good."""
        return "bad_key" if self.options.api_key is not None and key != self.options.api_key else None

    def _account_refuses(self, key: str | None) -> Kind | None:
        if kind := self.turned_away(key):
            return kind
        if self.options.account != "good" and self.served >= self.options.account_after:
            return self.options.account
        return None

    def _denied(self, denial: Denial, now: float) -> Reply:
        """An enforced limit; what can never fit is told so, without a time to come back."""
        kind = _DENIALS[denial.kind]
        if denial.wait_s == inf:
            text = (
                f"Request too large on tokens per min: Limit {denial.limit}, Requested {denial.requested}. "
                "The input or output tokens must be reduced in order to run successfully."
            )
            return self.refused(kind, now, text, inf)
        said = refusal(self.dialect, kind).message
        return self.refused(kind, now, f"{said} Please try again in {denial.wait_s:.3f}s.", denial.wait_s)

    def _fault(self, key: int, attempt: int) -> Fault | None:
        limit = self.options.fault_attempts
        return None if limit is not None and attempt > limit else self.options.faults.pick(key, attempt)

    def _failed(self, fault: Fault, call: Call, now: float) -> Reply | None:
        """The reply of a fault that leaves no answer to bill; None for the others."""
        if fault in _REFUSALS:
            return self.refused(_REFUSALS[fault], now)
        if fault == "hang":
            return Reply(0, b"", fault="hang")
        if fault == "html":
            return Reply(200, _PAGE, headers.common(self.dialect, self._request_id()), "text/html; charset=utf-8")
        if fault != "error_200":
            return None
        reply = self.refused("server_error", now)
        if call.streams:
            frames = [(sse.data(orjson.loads(reply.body)), 0), (sse.DONE, 0)]
            return Reply(200, b"", reply.headers, _EVENTS, frames)
        return Reply(200, reply.body, reply.headers)

    def _served(self, made: Made, now: float) -> Reply:
        sent = headers.common(self.dialect, self._request_id()) + headers.rates(self.dialect, self.admission, now)
        if made.frames is not None:
            return Reply(200, b"", sent, _EVENTS, made.frames(), made.completion_tokens)
        body = orjson.dumps(made.whole)
        return Reply(200, b"\n\n\n" + body if self.dialect.blank_lines else body, sent, tokens=made.completion_tokens)

    def _request_id(self) -> str:
        """Another one for each request, also for the same body twice."""
        return f"req_{mix(self.options.seed, self._requests):016x}"


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _max_tokens(body: dict[str, Any]) -> int:
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        if (value := body.get(name)) is not None:
            return int(value)
    return 0
