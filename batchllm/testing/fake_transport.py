"""A transport without a network: scripted replies, and a ledger of what was asked, kept outside of what is tested."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import orjson

from batchllm.errors import Phase, TransportError
from batchllm.protocols import Feed
from batchllm.types import Call, Json, Reply

Script = Callable[[str, int, Json], Reply | TransportError]
"""(last user text, how often it was asked before by the ledger's count, the body) → what comes back."""

PASSING = frozenset({0, 429, 500, 502, 503, 504})
LOOP_TURNS = 3
"""How many turns of the event loop a reply takes, so that several requests are in flight at once."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that was accepted: what it asked, and the status it was (or would have been) answered with."""

    text: str
    status: int


@dataclass(slots=True)
class Ledger:
    """Every request accepted, in order, whether or not anybody lived to read its answer."""

    entries: list[Sent] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.entries)

    def note(self, sent: Sent) -> None:
        self.entries.append(sent)
        self.asked[sent.text] += 1

    def answers(self, since: int = 0, *, passing: frozenset[int] = PASSING) -> Counter[str]:
        """How often each text got an answer that ends its line: refusals and server errors (`passing`) do not count."""
        return Counter(one.text for one in self.entries[since:] if one.status not in passing)


class FakeTransport:
    """Answers from a script. `alive` false means the process has died: nothing is accepted any more."""

    def __init__(self, script: Script, ledger: Ledger | None = None, alive: Callable[[], bool] = lambda: True) -> None:
        self.ledger = ledger if ledger is not None else Ledger()
        self.in_flight = 0
        self.most_in_flight = 0
        self._script = script
        self._alive = alive
        self._aborted = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def abort(self) -> None:
        self._aborted = True

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        if not self._alive():
            raise asyncio.CancelledError
        body = orjson.loads(call.body)
        text = last_user_text(body)
        outcome = self._script(text, self.ledger.asked[text], body)
        self.ledger.note(Sent(text, outcome.status))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            for _ in range(LOOP_TURNS + len(self.ledger) % LOOP_TURNS):
                await asyncio.sleep(0)
                if self._aborted:
                    raise TransportError(Phase.SEND, "cut off")
        finally:
            self.in_flight -= 1
        if isinstance(outcome, TransportError):
            raise outcome
        if feed is not None and 200 <= outcome.status < 300:
            outcome = as_stream(outcome)
            for frame in outcome.body.splitlines(keepends=True):
                feed(frame)
        return outcome


def last_user_text(body: Json) -> str:
    """What a chat request asks, as one text: the key under which a script and a ledger know it."""
    messages = body.get("messages") or [{"content": body.get("prompt") or body.get("input") or ""}]
    content = messages[-1]["content"]
    return (
        content
        if isinstance(content, str)
        else "".join(part if isinstance(part, str) else part.get("text", "") for part in content)
    )


def chat_reply(text: str, *, finish: str = "stop", model: str = "fake") -> Reply:
    """A whole chat completion that says `text`."""
    message = {"role": "assistant", "content": text}
    return _reply(200, {
        "id": "chatcmpl-fake", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    })  # fmt: skip


def as_stream(reply: Reply) -> Reply:
    """A chat completion as the server-sent events that would have brought it."""
    whole = orjson.loads(reply.body)
    head = {**whole, "object": "chat.completion.chunk", "usage": None}
    choice = whole["choices"][0]
    chunks = [
        {**head, "choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        {**head, "choices": [], "usage": whole["usage"]},
    ]
    body = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    return replace(reply, headers={**reply.headers, "content-type": "text/event-stream"}, body=body, ttft_s=reply.latency_s / 2)


def error_reply(status: int, message: str = "as scripted", **headers: str) -> Reply:
    """An error as OpenAI words it; header names with underscores for hyphens."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": None}}
    return _reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def _reply(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, {"content-type": "application/json", **(headers or {})}, orjson.dumps(body), 0.01)
