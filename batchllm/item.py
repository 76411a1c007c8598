"""One prompt's way from its line to its record, without I/O: what to send, and what a reply makes of it.

    item = Item(route, request)
    while True:
        send item.call()  →  a Reply or a TransportError
        step = item.received(reply, …)  or  item.failed(error, …)
        step is Done: its record is the line's outcome · Again: once more after step.wait_s · Halt: the run stops
        Onward: a part is answered, the next request goes at once (`talk` and `pack`, which are used like an item)

Every rule of a prompt is here and in the pure modules this one calls; the engine only moves bytes and waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from batchllm import retry
from batchllm.billing import Bill, Charge, Worst, cost_usd, worst_case
from batchllm.classify import classify, classify_failure
from batchllm.errors import ErrorCode, TransportError
from batchllm.protocols import Assembler
from batchllm.records import Record, usage_json, worst_json
from batchllm.route import Route
from batchllm.steps import Again, Done, Halt, Step
from batchllm.strictjson import deep, dumps, loads, one_line
from batchllm.types import NO_USAGE, Answer, Call, Json, Kind, Reply, Request, Verdict
from batchllm.validation import Judgement, Problem, Schema, complaint, judge

BYTES_PER_TOKEN = 4
TOKENS_PER_FILE = 1000
UNSENT = Charge("no")


class Item:
    """The state of one line while it is asked; see the module's text for its use."""

    __slots__ = (
        "_assembler", "_body", "_endpoint", "_escalated", "_first_sent", "_media", "_problems", "_reasked", "_rejected",
        "_schema", "_url", "bill", "last", "request", "route", "spent",
    )  # fmt: skip

    def __init__(self, route: Route, request: Request) -> None:
        self.route = route
        self.request = request
        self.spent = retry.Spent()
        self.bill = Bill()
        self.last = UNSENT
        self._endpoint = route.endpoint_for(request.url)
        model = request.body.get("model")
        self._url = route.url(request.url, model if type(model) is str else "")
        self._schema = route.schema_for(request)
        self._assembler: Assembler | None = None
        self._problems: list[Problem] = []
        self._reasked = 0
        self._escalated = False
        self._media: list[Json] | None = None
        self._rejected: tuple[Reply, bytes | None, Answer] | None = None
        self._first_sent: float | None = None
        self._body = self._first_body()

    def _first_body(self) -> Json:
        body = self.request.body
        if self._schema is not None:
            body = self._endpoint.with_schema(body, self._schema.name, self._schema.json_schema, self.route.mode)
        if self.route.stream is not None and "stream" not in body and self._endpoint.streams:
            body = {**body, "stream": self.route.stream}
        asks = self._endpoint.usage_on_request and self.route.provider.stream_usage
        if asks and body.get("stream") and "stream_options" not in body:
            body = {**body, "stream_options": {"include_usage": True}}
        return body

    @property
    def body(self) -> Json:
        """The body of the next request, its local files by their names."""
        return self._body

    def call(self, now: float, data: bytes | None = None) -> Call:
        """The next HTTP request; `now` is monotonic seconds, `data` the body with the contents of its local files."""
        if self._first_sent is None:
            self._first_sent = now
        self.spent.sent += 1
        stream = self._body.get("stream") is True and self._endpoint.streams
        self._assembler = self._endpoint.assembler(self._body) if stream else None
        return Call(self._url, dumps(self._body) if data is None else data, self.route.headers, stream)

    def sends(self, media: list[Json]) -> None:
        """Note which local files went with the request."""
        self._media = media

    def unsendable(self, why: str) -> Done:
        """The record of a line whose request could not be made; nothing was sent."""
        self.last = UNSENT
        self.spent.sent += 1  # the attempt to send it
        verdict = Verdict(Kind.FINAL, ErrorCode.INVALID_REQUEST, why)
        return self._done(Reply(0, {}, b"", 0.0), None, None, ErrorCode.INVALID_REQUEST, why, verdict=verdict)

    def token_estimate(self) -> float:
        """Tokens to reserve for the next request: a quarter of its bytes, and all it may answer with."""
        body = self._body
        ceiling = body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens") or 0
        prompt = len(self._endpoint.prompt_text(body).encode("utf-8", "replace")) / BYTES_PER_TOKEN
        if self.request.extras is not None:
            prompt += TOKENS_PER_FILE * len(self.request.extras.media)
        return prompt + (ceiling if isinstance(ceiling, int) else 0)

    def worst(self) -> Worst:
        """The most that the next request may use and cost."""
        price = self.route.prices(self._body.get("model", ""))
        return worst_case(self._body, self.request.url, price, self.route.assumed)

    def last_tokens(self, reserved: float) -> float:
        """What the last request really used, where the reply told; else what was reserved for it."""
        usage = self.last.usage
        if usage is None or not usage.known:
            return reserved
        return float((usage.prompt_tokens or 0) + (usage.completion_tokens or 0))

    @property
    def feed(self) -> Callable[[bytes], bool] | None:
        """Where the pieces of a streamed reply go; None for a reply that comes whole."""
        return None if self._assembler is None else self._assembler.feed

    def received(self, reply: Reply, now: float, jitter: float, *, outage: bool = False) -> Step:
        """What a complete HTTP reply comes to. Never raises, whatever the bytes: they are kept in the step."""
        try:
            return self._received(reply, now, jitter, outage=outage)
        except Exception as defect:
            return self._unjudged(reply, defect)

    def _unjudged(self, reply: Reply, defect: Exception) -> Done:
        """A defect of ours in judging a reply: what was paid for is kept as it came, and is not asked for again."""
        self._charge(Charge("yes" if 200 <= reply.status < 300 else "maybe"))
        message = f"a defect in batchllm itself ({type(defect).__name__}): the reply is kept unjudged; please report it"
        return self._done(self.route.redactor.reply(reply), None, None, ErrorCode.BAD_RESPONSE, message)

    def _received(self, reply: Reply, now: float, jitter: float, *, outage: bool) -> Step:
        reply = self.route.redactor.reply(reply)
        raw, body = self._parsed(reply)
        verdict = classify(reply, body, self.route.provider.rules, now=datetime.now(UTC))
        if verdict is None and self._assembler is not None and not self._assembler.finished:
            verdict = Verdict(Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE, "the stream ended before its finish")
        if verdict is not None:
            return self._unanswered(verdict, now, jitter, reply, raw, body, outage=outage)
        return self._answered(reply, raw, body, now, jitter)

    def failed(self, error: TransportError, now: float, jitter: float, *, outage: bool = False) -> Step:
        """What a request without a complete reply comes to; what did arrive is kept."""
        error = self.route.redactor.failure(error)
        if error.partial and error.status == 200 and self._assembler is None:
            salvaged = _complete_json(error.partial)
            if salvaged:
                return self.received(Reply(200, error.headers, error.partial, error.elapsed_s), now, jitter, outage=outage)
        if error.partial and error.status == 200 and self._assembler is not None and self._assembler.finished:
            return self.received(Reply(200, error.headers, error.partial, error.elapsed_s), now, jitter, outage=outage)
        reply = Reply(error.status, error.headers, error.partial, error.elapsed_s)
        verdict = classify_failure(error, self.route.provider.rules, now=datetime.now(UTC))
        return self._unanswered(verdict, now, jitter, reply, None, None, outage=outage)

    def abandoned(self) -> Json:
        """The note of a request whose outcome nobody waited for (a second signal, the end of the drain)."""
        self._charge(Charge("maybe"))
        return self._note(Verdict(Kind.MAYBE_PAID, ErrorCode.TIMEOUT, "abandoned in flight: the outcome is unknown"), 0.0, None)

    def _parsed(self, reply: Reply) -> tuple[bytes | None, Any]:
        """The reply as one line of JSON and as a value; (None, None) where it is no JSON."""
        if self._assembler is not None and 200 <= reply.status < 300:
            return self._assembled(self._assembler.body())
        try:
            body = loads(reply.body)
        except ValueError:
            return self._streamed_unasked(reply)
        if deep(reply.body, body):
            return None, None  # it would make a record that nobody can read back; as text it is kept
        return one_line(reply.body), body

    def _streamed_unasked(self, reply: Reply) -> tuple[bytes | None, Any]:
        """A reply that came as a stream all the same: `transformers serve` does so on /v1/responses."""
        kind = reply.headers.get("content-type", "")
        if not (200 <= reply.status < 300 and self._endpoint.streams and kind.startswith("text/event-stream")):
            return None, None
        self._assembler = self._endpoint.assembler(self._body)
        self._assembler.feed(reply.body)
        return self._assembled(self._assembler.body())

    def _assembled(self, body: Json) -> tuple[bytes | None, Any]:
        """What a stream was put together to, as bytes too; (None, None) where it is nested too deep to be written."""
        try:
            raw = dumps(body)
        except ValueError:
            return None, None
        clean = self.route.redactor.bytes(raw)  # a stream may have brought the key in pieces
        return clean, body if clean is raw else loads(clean)

    def _answered(self, reply: Reply, raw: bytes | None, body: Any, now: float, jitter: float) -> Step:
        answer = self._endpoint.read(body)
        self._charge(self._paid(answer))
        if answer.problem is ErrorCode.BAD_RESPONSE:
            verdict = Verdict(Kind.PAID, answer.problem, answer.problem_text)
            return self._unanswered(verdict, now, jitter, reply, raw, body, counted=True)
        if answer.problem is not None:
            return self._done(reply, raw, answer, answer.problem, answer.problem_text)
        if self._schema is None:
            return self._done(reply, raw, answer)
        return self._checked(self._schema, reply, raw, answer)

    def _checked(self, schema: Schema, reply: Reply, raw: bytes | None, answer: Answer) -> Step:
        judgement = judge(answer.text or "", schema)
        self._problems.extend(judgement.problems)
        if not judgement.problems:
            return self._done(reply, raw, answer, judgement=judgement)
        said = complaint(judgement.problems, answer.text or "")
        if self._reasked < self.route.reask:
            self._reasked += 1
            self._rejected = reply, raw, answer
            self._body = self._endpoint.with_reask(self._body, answer, said)
            return self._once_more(judgement, reply, raw)
        if self.route.escalate is not None and not self._escalated:
            self._rejected = reply, raw, answer
            self._escalate(self.route.escalate)
            return self._once_more(judgement, reply, raw)
        return self._done(reply, raw, answer, ErrorCode.SCHEMA_INVALID, _first_problem(judgement.problems))

    def _once_more(self, judgement: Judgement, reply: Reply, raw: bytes | None) -> Again:
        verdict = Verdict(Kind.PAID, ErrorCode.SCHEMA_INVALID, _first_problem(judgement.problems))
        return Again(verdict, 0.0, self._note(verdict, 0.0, reply, raw))

    def _escalate(self, model: str) -> None:
        """The stronger model gets the line as it stands, not the weaker one's answers."""
        self._escalated = True
        self._body = {**self._first_body(), "model": model}
        self._url = self.route.url(self.request.url, model)

    def _unanswered(
        self,
        verdict: Verdict,
        now: float,
        jitter: float,
        reply: Reply,
        raw: bytes | None,
        body: Any,
        *,
        counted: bool = False,
        outage: bool = False,
    ) -> Step:
        if not counted:
            self._charge(self._charged_anyway(verdict, body))
        # While the endpoint is known to be down, failing to reach it says nothing of this line.
        if not (outage and retry.TRAITS[verdict.kind].uses_attempt):
            # Only a server's own time-out is a gateway's limit: ours come after the same time by their nature.
            self.spent.count(verdict, reply.latency_s if reply.status else 0.0)
        waited = now - self._first_sent if self._first_sent is not None else 0.0
        if verdict.kind is Kind.STOP:
            return Halt(verdict, self._note(verdict, 0.0, reply, raw))
        if retry.again(verdict, self.spent, self.route.retries, waited):
            wait = retry.wait_s(verdict, self.spent, self.route.retries, jitter)
            return Again(verdict, wait, self._note(verdict, wait, reply, raw))
        if self._rejected is not None and not counted:
            return self._kept(verdict)
        message = verdict.message
        if retry.same_timeouts(self.spent):
            message += "; twice after the same time, which is a gateway's limit: set stream = true"
        answer = self._endpoint.read(body) if counted else None
        return self._done(reply, raw, answer, verdict.code or ErrorCode.BAD_RESPONSE, message, verdict=verdict)

    def _kept(self, verdict: Verdict) -> Step:
        """Asking again came to nothing: the last invalid answer, which was paid for, is the line's outcome."""
        assert self._rejected is not None
        reply, raw, answer = self._rejected
        message = f"{_first_problem(self._problems)}; asking again failed: {verdict.message}"
        return self._done(reply, raw, answer, ErrorCode.SCHEMA_INVALID, message, verdict=verdict)

    def _charged_anyway(self, verdict: Verdict, body: Any) -> Charge:
        """What a useless reply cost: its own usage where it told, else what its kind lets us fear."""
        if isinstance(body, dict) and body.get("usage"):
            answer = self._endpoint.read(body)
            if answer.usage is not None and answer.usage.known:
                return self._paid(answer)
        return Charge(retry.TRAITS[verdict.kind].billed)

    def _paid(self, answer: Answer) -> Charge:
        # A reply names the exact version where a price list may know only the name that was asked for.
        price = self.route.prices(answer.model or "", self._body.get("model", ""))
        return Charge("yes", answer.usage, cost_usd(answer.usage, price))

    def _charge(self, charge: Charge) -> None:
        untold = not charge.told or (charge.usd is None and self.route.prices(self._body.get("model", "")) is not None)
        self.last = replace(charge, worst=self.worst()) if untold else charge
        self.bill.add(self.last)

    def _done(
        self,
        reply: Reply,
        raw: bytes | None,
        answer: Answer | None,
        code: ErrorCode | None = None,
        message: str = "",
        *,
        judgement: Judgement | None = None,
        verdict: Verdict | None = None,
    ) -> Done:
        facts = self._facts(reply, answer)
        if judgement is not None:
            facts["parsed"] = judgement.parsed
            if judgement.duplicate_keys:
                facts["duplicate_keys"] = True
        if self.last.billed != "yes":
            facts["billed"] = self.last.billed
        if self.last.worst is not None:
            facts["at_most"] = worst_json(self.last.worst)
        if code is not None:
            facts["retryable"] = verdict is not None and retry.TRAITS[verdict.kind].again and verdict.kind is not Kind.PAID
            if self._problems:
                facts["problems"] = [{"path": one.path, "message": one.message} for one in self._problems[:20]]
        if raw is None and reply.body:
            facts["raw"] = _text(reply.body)
        request = self.request
        headers = reply.headers
        record = Record(
            request.line,
            request.custom_id,
            request.digest,
            reply.status,
            headers.get("x-request-id") or headers.get("request-id") or headers.get("apim-request-id"),
            raw,
            code,
            message,
            answer.text if answer is not None else None,
            judgement.parsed if judgement is not None else None,
            self.bill.usage,
            facts,
        )
        return Done(record, verdict)

    def _facts(self, reply: Reply, answer: Answer | None) -> Json:
        route = self.route
        facts: Json = {"line": self.request.line, "digest": self.request.digest, "settings": route.settings_digest}
        if answer is not None and answer.reasoning is not None:
            facts["reasoning"] = answer.reasoning
        if answer is not None and answer.model is not None and answer.model != self._body.get("model"):
            facts["model"] = answer.model
        facts["usage"] = usage_json(self.bill.usage)
        facts["attempts"] = self.spent.sent
        facts["latency_s"] = round(reply.latency_s, 4)
        facts["ttft_s"] = None
        if reply.ttft_s is not None:
            facts["ttft_s"] = round(reply.ttft_s, 4)
            facts["tokens_per_s"] = self._tokens_per_s(reply)
        facts["cost_usd"] = None if self.bill.cost_usd is None else round(self.bill.cost_usd, 9)
        facts["provider"] = route.provider.name
        if route.provider.simulated:
            facts["simulated"] = True
        earlier = self.bill.before_last
        if earlier is not None:
            facts["rejected_usage"] = usage_json(earlier.usage or NO_USAGE)
            facts["rejected_cost_usd"] = earlier.cost_usd
            if facts["cost_usd"] is None and self.last.usd:
                facts["last_cost_usd"] = self.last.usd
        if self.bill.unknown:
            facts["unknown_outcomes"] = self.bill.unknown
        if self._escalated:
            facts["escalated"] = True
        if self._media is not None:
            facts["media"] = self._media
        if self.request.metadata is not None:
            facts["metadata"] = self.request.metadata
        return facts

    def _tokens_per_s(self, reply: Reply) -> float | None:
        """How fast a stream came once it had begun."""
        usage, ttft = self.last.usage, reply.ttft_s
        if usage is None or usage.completion_tokens is None or ttft is None or reply.latency_s <= ttft:
            return None
        return round(usage.completion_tokens / (reply.latency_s - ttft), 2)

    def _note(self, verdict: Verdict, wait: float, reply: Reply | None, raw: bytes | None = None) -> Json:
        """The line of `attempts.jsonl` for an attempt that did not become a result; paid bytes stand in it whole."""
        last = self.last
        note: Json = {
            "custom_id": self.request.custom_id,
            "line": self.request.line,
            "attempt": self.spent.sent,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "kind": str(verdict.kind),
            "code": None if verdict.code is None else str(verdict.code),
            "message": verdict.message,
            "status": reply.status if reply is not None else 0,
            "wait_s": round(wait, 3),
            "billed": last.billed,
            "usage": None if last.usage is None else usage_json(last.usage),
            "cost_usd": last.cost_usd,
            **({} if last.worst is None else {"at_most": worst_json(last.worst)}),
            "latency_s": round(reply.latency_s, 4) if reply is not None else None,
        }
        if reply is not None and reply.body and last.billed != "no":
            note["body"] = orjson.Fragment(raw) if raw is not None else _text(reply.body)
        return note


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _complete_json(data: bytes) -> bool:
    try:
        return isinstance(loads(data), dict)
    except ValueError:
        return False


def _first_problem(problems: list[Problem]) -> str:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{first.path}: {first.message}{more}" if first.path else f"{first.message}{more}"
