"""Recorded-style event streams of many servers, for tests that cut them at every byte.

Rules of completeness:
* up to and including `cut_until` bytes a prefix proves nothing: a finish is missing, and so is [DONE];
* from `complete_from` on it is complete: it says all that the whole stream says, perhaps but for the usage;
* between the two lies only the blank line that ends the finishing event, so either verdict is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .builders import SSE_TYPE, chunk, dumps
from .steps import Framing, Step

Usage = tuple[int, int]
Event = Mapping[str, object] | bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """A whole stream as its events; `contents` by choice, `proof` is the event that finishes the last one."""

    name: str
    events: tuple[bytes, ...]
    contents: tuple[str, ...]
    proof: int
    finish: str = "stop"
    reasoning: str | None = None
    usage: Usage | None = (12, 3)
    tools: tuple[tuple[str, str], ...] = ()

    @property
    def raw(self) -> bytes:
        """All bytes."""
        return b"".join(self.events)

    @property
    def complete_from(self) -> int:
        """The length with which the finishing event has ended."""
        return sum(len(event) for event in self.events[: self.proof + 1])

    @property
    def cut_until(self) -> int:
        """The greatest length that cannot pass for complete."""
        event = self.events[self.proof]
        return self.complete_from - len(event) + len(event.rstrip(b"\r\n")) - 1

    def step(self, framing: Framing = "chunked") -> Step:
        """The stream as an answer, each event one write."""
        return Step(headers=SSE_TYPE, body=self.events, framing=framing)


DONE = b"data: [DONE]\n\n"


def used(prompt: int = 12, completion: int = 3) -> dict[str, int]:
    """A usage object."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def event(value: object, eol: bytes = b"\n") -> bytes:
    """One data event."""
    return b"data: " + dumps(value) + eol * 2


def said(*texts: str, key: str = "content", index: int = 0, **extra: Any) -> list[Event]:
    """One chunk per text."""
    return [chunk({key: text}, index=index, **extra) for text in texts]


ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
STOP = chunk({}, finish_reason="stop")
LAST = chunk(None, usage=used())


def _stream(
    name: str,
    chunks: Sequence[Event],
    contents: Sequence[str] = ("Hello",),
    eol: bytes = b"\n",
    **facts: Any,
) -> Stream:
    events = tuple(item if isinstance(item, bytes) else event(item, eol) for item in chunks)
    finishing = [i for i, item in enumerate(chunks) if not isinstance(item, bytes) and _finishes(item)]
    return Stream(name, events, tuple(contents), finishing[-1], **facts)


def _finishes(item: Mapping[str, object]) -> bool:
    choices = item["choices"]
    return isinstance(choices, list) and any(choice["finish_reason"] for choice in choices)


def _tool(index: int, arguments: str, name: str | None = None) -> dict[str, object]:
    call: dict[str, object] = {"index": index, "function": {"arguments": arguments}}
    if name is not None:
        call = {
            **call,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
    return chunk({"tool_calls": [call]})


def _hosted() -> list[Stream]:
    filters: dict[str, Any] = {
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
        "id": "",
        "model": "",
    }
    thinking = said("Greet", "ing.", key="reasoning_content")
    growing = [chunk({"content": text}, usage=used(12, done)) for done, text in enumerate(("Hel", "lo"), start=1)]
    return [
        _stream("openai", [ROLE, *said("Hel", "lo", obfuscation="x"), STOP, LAST, DONE]),
        _stream("azure", [chunk(None, **filters), ROLE, *said("Hel", "lo"), STOP, LAST, DONE]),
        _stream(
            "deepseek",
            [
                b": keep-alive\n\n",
                *thinking,
                b": keep-alive\n\n",
                *said("Hello"),
                chunk({"content": ""}, finish_reason="stop", usage=used()),
                DONE,
            ],
            reasoning="Greeting.",
        ),
        _stream(
            "openrouter",
            [
                b": OPENROUTER PROCESSING\n\n",
                b": OPENROUTER PROCESSING\n\n",
                *said("Hel", "lo", provider="Azure"),
                chunk({"content": ""}, finish_reason="stop"),
                LAST,
                DONE,
            ],
        ),
        _stream(
            "siliconflow-cumulative",
            [ROLE, *growing, chunk({"content": ""}, finish_reason="stop", usage=used()), DONE],
        ),
        _stream("dashscope-no-usage", [ROLE, *said("你", "好"), STOP, DONE], ("你好",), usage=None),
    ]


def _local() -> list[Stream]:
    reasons = said("Greet", "ing.", key="reasoning")
    crlf: list[Event] = [b": ping\r\n\r\n", ROLE, *said("Hel", "lo"), STOP, LAST, b"data: [DONE]\r\n\r\n"]
    bare = [b"data:" + dumps(item) + b"\n\n" for item in said("Hel", "lo")]
    return [
        _stream("vllm-reasoning", [ROLE, *reasons, *said("Hello"), STOP, LAST, DONE], reasoning="Greeting."),
        _stream("ollama", [*said("Hel", "lo"), chunk({"content": ""}, finish_reason="stop"), LAST, DONE]),
        _stream("crlf", crlf, eol=b"\r\n"),
        _stream("no-space-after-colon", [*bare, STOP, DONE], usage=None),
        _stream(
            "odd-fields",
            [b"event: message\nid: 7\nretry: 100\n" + event(ROLE), b"\n\n", *said("Hello"), STOP, LAST, DONE],
        ),
    ]


def _several() -> list[Stream]:
    ends = [chunk({}, index=i, finish_reason="stop") for i in (1, 0)]
    mixed = [*said("Be", index=1), *said("A"), *said("ta", index=1), *said("lpha"), *ends]
    calls: list[Event] = [
        ROLE,
        _tool(0, "", "save"),
        _tool(1, '{"x"', "load"),
        _tool(0, '{"city": '),
        _tool(1, ": 1}"),
        _tool(0, '"Köln"}'),
        chunk({}, finish_reason="tool_calls"),
        LAST,
        DONE,
    ]
    tools = (("save", '{"city": "Köln"}'), ("load", '{"x": 1}'))
    return [
        _stream("n2-interleaved", [*mixed, LAST, DONE], ("Alpha", "Beta")),
        _stream("tool-calls", calls, ("",), finish="tool_calls", tools=tools),
        _stream(
            "length",
            [ROLE, *said('{"a": "lon'), chunk({}, finish_reason="length"), LAST, DONE],
            ('{"a": "lon',),
            finish="length",
        ),
    ]


STREAMS: Mapping[str, Stream] = {stream.name: stream for stream in (*_hosted(), *_local(), *_several())}
