"""`batchllm providers --ping`: what of an endpoint works, found out with a handful of tiny requests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from batchllm.chat import usage_words
from batchllm.classify import classify, classify_failure
from batchllm.endpoints import endpoint_for
from batchllm.errors import ErrorCode, ExitCode, TransportError
from batchllm.parts import Parts
from batchllm.protocols import Transport
from batchllm.providers import request_url
from batchllm.strictjson import dumps, loads
from batchllm.types import NO_USAGE, Answer, Call, Json, Reply, Usage, Verdict

TOKENS = 16
JSON_TOKENS = 64
SCHEMA: Json = {
    "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False,
}  # fmt: skip
_CHAT = endpoint_for("/v1/chat/completions")
_MARKS = {True: "✓", False: "✗", None: "–"}
_THINKING = ("reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `ok` is None where it could not be told; `words` are the server's own where it said no."""

    name: str
    ok: bool | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One answer to a ping: `verdict` is None where it is a plain one."""

    reply: Reply
    body: Any
    verdict: Verdict | None
    finished: bool = True

    @property
    def answer(self) -> Answer:
        return _CHAT.read(self.body)

    @property
    def words(self) -> str:
        return self.verdict.message if self.verdict is not None else self.answer.problem_text


@dataclass(slots=True)
class Ping:
    """Asks one endpoint, one request after another; at most seven, five where nothing has to be asked in another way."""

    made: Parts
    model: str | None = None
    checks: list[Check] = field(default_factory=list)
    requests: int = 0
    usage: Usage = NO_USAGE
    exit_code: ExitCode = ExitCode.OK
    _limit: str = "max_tokens"
    _thought: str = ""

    async def run(self) -> None:
        """Fill `checks`. Each step needs the one before it: what makes no sense any more is not asked."""
        async with self.made.transport() as transport:
            if not await self._models(transport):
                return
            if self.model is None:
                self._tell("model", False, "none is given and none is listed: name one with --model")
                self.exit_code = ExitCode.USAGE
                return
            if not await self._chat(transport):
                return
            await self._streaming(transport)
            await self._json(transport, "json_schema", "Say hello.")
            await self._json(transport, "json_object", 'Answer with the JSON object {"ok": true}.')
        self._tell("reasoning", True if self._thought else None, self._thought or "none in these answers")

    async def _models(self, transport: Transport) -> bool:
        """The list of models: whether anybody is there, and what to ask for."""
        seen = await self._send(transport, "/v1/models", None)
        if not seen.reply.status:
            self._tell("reachable", False, seen.words)
            self.exit_code = ExitCode.UNAVAILABLE
            return False
        self._tell("reachable", True, f"{seen.reply.latency_s:.2f} s")
        if seen.verdict is not None and seen.verdict.code is ErrorCode.AUTHENTICATION:
            return self._refused_key(seen)
        listed = [] if seen.verdict is not None else _ids(seen.body)
        self.model = self.model or (listed[0] if listed else None)
        shown = ", ".join(listed[:5]) + (" …" if len(listed) > 5 else "")
        words = f"{len(listed)} listed: {shown}" if listed else "none is listed"
        words = words if seen.verdict is None else seen.verdict.message
        self._tell("models", True if listed else None, words)
        return True

    async def _chat(self, transport: Transport) -> bool:
        seen = await self._ask(transport, "Say hello.", {})
        if seen.verdict is not None and "max_completion_tokens" in seen.verdict.message:
            self._limit = "max_completion_tokens"
            seen = await self._ask(transport, "Say hello.", {})
        if seen.verdict is not None and seen.verdict.code is ErrorCode.AUTHENTICATION:
            return self._refused_key(seen)
        self._tell("key", True, "accepted" if self.made.key_hint != "no key was sent" else "none is needed")
        if not _answered(seen):
            self._tell("chat", False, seen.words)
            self.exit_code = ExitCode.UNAVAILABLE if not seen.reply.status else ExitCode.SOME_FAILED
            return False
        wants = "" if self._limit == "max_tokens" else "; wants max_completion_tokens"
        self._tell("chat", True, f"{seen.reply.latency_s:.2f} s{wants}")
        self._tell_usage("usage", seen)
        return True

    def _refused_key(self, seen: _Seen) -> bool:
        self._tell("key", False, f"{seen.words}; {self.made.key_hint}")
        self.exit_code = ExitCode.ACCOUNT
        return False

    async def _streaming(self, transport: Transport) -> None:
        """A stream, and its usage where the provider can tell it; if that wish is refused, once more without it."""
        refused = ""
        options = {"stream_options": {"include_usage": True}} if self.made.route.provider.stream_usage else {}
        seen = await self._ask(transport, "Say hello.", {"stream": True, **options})
        if seen.verdict is not None and "stream_options" in seen.verdict.message:
            refused = seen.words
            seen = await self._ask(transport, "Say hello.", {"stream": True})
        good = _answered(seen) and seen.finished
        ttft = seen.reply.ttft_s
        words = f"first piece after {ttft:.2f} s" if ttft is not None else "came in one piece"
        self._tell("streaming", good, words if good else seen.words or "the stream ended before its finish")
        if good and not refused:
            self._tell_usage("usage in streams", seen)
        elif good:
            self._tell("usage in streams", False, refused)

    async def _json(self, transport: Transport, mode: str, prompt: str) -> None:
        """Whether a format is taken, and kept. An answer cut off by our own small limit counts by its beginning."""
        wish = {"type": mode} if mode == "json_object" else {
            "type": mode, "json_schema": {"name": "ping", "strict": True, "schema": SCHEMA}
        }  # fmt: skip
        seen = await self._ask(transport, prompt, {"response_format": wish}, JSON_TOKENS)
        if not _answered(seen):
            self._tell(mode, False, seen.words)
            return
        answer = seen.answer
        text = (answer.text or "").strip()
        cut = answer.problem is ErrorCode.TRUNCATED
        kept = _fits(text, mode) or (cut and text.startswith("{"))
        words = f"kept, as far as {JSON_TOKENS} tokens show" if cut else "kept"
        self._tell(mode, kept, words if kept else f"taken but not kept: the answer begins with {text[:40]!r}")

    async def _ask(self, transport: Transport, prompt: str, more: Json, tokens: int = TOKENS) -> _Seen:
        body = {"model": self.model, "messages": [{"role": "user", "content": prompt}], self._limit: tokens, **more}
        seen = await self._send(transport, "/v1/chat/completions", body)
        self.usage = self.usage + (seen.answer.usage or NO_USAGE)
        self._thought = self._thought or _thought(seen)
        return seen

    async def _send(self, transport: Transport, path: str, body: Json | None) -> _Seen:
        route = self.made.route
        url = request_url(route.provider, route.base_url, path, self.model or "-")
        assembler = _CHAT.assembler(body) if body is not None and body.get("stream") is True else None
        method = "GET" if body is None else "POST"
        call = Call(url, b"" if body is None else dumps(body), route.headers, assembler is not None, method)
        self.requests += 1
        rules, now = route.provider.rules, datetime.now(UTC)
        try:
            reply = route.redactor.reply(await transport.send(call, assembler.feed if assembler else None))
        except TransportError as error:
            verdict = classify_failure(route.redactor.failure(error), rules, now=now)
            return _Seen(Reply(error.status, {}, b"", error.elapsed_s), None, verdict)
        value = assembler.body() if assembler is not None and reply.status < 300 else _parsed(reply.body)
        return _Seen(reply, value, classify(reply, value, rules, now=now), assembler is None or assembler.finished)

    def _tell(self, name: str, ok: bool | None, words: str = "") -> None:
        self.checks.append(Check(name, ok, words))

    def _tell_usage(self, name: str, seen: _Seen) -> None:
        usage = seen.answer.usage
        known = usage is not None and usage.known
        self._tell(name, known, usage_words(usage) if usage is not None and known else "not told")


def ping(made: Parts) -> Ping:
    """Ping one endpoint to the end."""
    one = Ping(made, made.settings.model)
    with asyncio.Runner() as runner:
        runner.run(one.run())
    return one


def lines(one: Ping) -> list[str]:
    """The findings, for a person."""
    facts = one.made.facts
    head = f"{facts.endpoint} ({facts.provider}), model {one.model or 'unknown'}"
    rows = [f"  {_MARKS[check.ok]} {check.name:<18}{check.words}".rstrip() for check in one.checks]
    asked = "1 request" if one.requests == 1 else f"{one.requests} requests"
    return [head, *rows, f"  {asked}" + (f"; tokens: {usage_words(one.usage)}" if one.usage.known else "")]


def as_json(one: Ping) -> Json:
    facts = one.made.facts
    return {
        "provider": facts.provider, "endpoint": facts.endpoint, "model": one.model, "requests": one.requests,
        "checks": {check.name: {"ok": check.ok, "words": check.words} for check in one.checks},
        "exit_code": int(one.exit_code),
    }  # fmt: skip


def _answered(seen: _Seen) -> bool:
    return seen.verdict is None and seen.answer.problem in (None, ErrorCode.TRUNCATED)


def _fits(text: str, mode: str) -> bool:
    value = _parsed(text.encode("utf-8", "replace"))
    if mode == "json_object":
        return isinstance(value, dict)
    return isinstance(value, dict) and value.keys() == {"ok"} and isinstance(value["ok"], bool)


def _thought(seen: _Seen) -> str:
    """Where the thinking stands in this answer; empty where there is none."""
    if not isinstance(seen.body, dict) or not seen.answer.reasoning:
        return ""
    choices = seen.body.get("choices")
    message = choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    named = [name for name in _THINKING if isinstance(message, dict) and message.get(name)]
    return f"in `{named[0]}`" if named else "in the text itself (<think>)"


def _ids(body: Any) -> list[str]:
    rows = body.get("data") if isinstance(body, dict) else body
    found = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [one for one in found if isinstance(one, str) and one]


def _parsed(data: bytes) -> Any:
    try:
        return loads(data)
    except ValueError:
        return None
