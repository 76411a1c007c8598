"""Streams as vendors send them, each with the bytes that prove its end."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """`proof`: the first place in `data` after which the reply is known to be whole."""

    url: str
    data: bytes
    proof: int


def event(value: Any, name: str = "", end: str = "\n") -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    head = f"event: {name}{end}" if name else ""
    return f"{head}data: {text}{end}{end}".encode()


def chunk(*choices: Any, **rest: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m-1"}
    return {**head, "choices": list(choices), **rest}


def choice(index: int = 0, finish: str | None = None, logprobs: Any = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}


USAGE = {
    "prompt_tokens": 8,
    "completion_tokens": 5,
    "total_tokens": 13,
    "completion_tokens_details": {"reasoning_tokens": 2},
}
CHAT = "/v1/chat/completions"


def _sample(url: str, events: list[bytes], proof: bytes) -> Sample:
    data = b"".join(events)
    return Sample(url, data, data.index(proof) + len(proof))


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.1, "bytes": list(text.encode()), "top_logprobs": []}


def openai() -> Sample:
    """Text, then usage in a chunk without choices, then the marker; each chunk padded."""
    end = json.dumps(chunk(choice(finish="stop"), obfuscation="zzz"))
    events = [
        event(chunk(choice(role="assistant", content="", refusal=None), system_fingerprint="fp_1", usage=None)),
        event(chunk(choice(content="Grüß"), usage=None, obfuscation="x")),
        event(chunk(choice(content=" Gott 😀\u2028!"), usage=None)),
        event(end),
        event(chunk(usage=USAGE)),
        event("[DONE]"),
    ]
    return _sample(CHAT, events, end.encode())


def azure() -> Sample:
    """First chunk with neither choices nor id, CRLF, filter results beside the delta."""
    first = chunk(prompt_filter_results=[{"prompt_index": 0}])
    first.update(id="", model="", created=0)
    end = json.dumps(chunk(choice(finish="stop")))
    clean = {"hate": {"filtered": False, "severity": "safe"}}
    events = [
        event(first, end="\r\n"),
        event(chunk({**choice(content="yes"), "content_filter_results": clean}), end="\r\n"),
        event(end, end="\r\n"),
        event("[DONE]", end="\r\n"),
    ]
    return _sample(CHAT, events, end.encode())


def reasoning() -> Sample:
    """Comments as keep-alives, both names for reasoning, usage cumulated in each chunk, no marker."""
    end = json.dumps(chunk({**choice(finish="stop"), "native_finish_reason": "STOP"}, usage=USAGE))
    events = [
        b": OPENROUTER PROCESSING\n\n",
        event(chunk(choice(role="assistant", content=None, reasoning_content="Let me"), usage={"total_tokens": 9})),
        b": keep-alive\n\n\n",
        event(chunk(choice(content=None, reasoning_content=" see"), usage={"total_tokens": 10})),
        event(chunk(choice(content="42", reasoning_content=None), provider="Somewhere", usage={"total_tokens": 11})),
        event(end),
    ]
    return _sample(CHAT, events, end.encode())


def several() -> Sample:
    """Two choices, interleaved and out of order, with log probabilities."""
    end = json.dumps(chunk(choice(1, "length")))
    events = [
        event(chunk(choice(1, role="assistant", content=""))),
        event(chunk(choice(0, role="assistant", content=""))),
        event(chunk(choice(1, content="b1", logprobs={"content": [token("b1")], "refusal": None}))),
        event(chunk(choice(0, content="a1", logprobs={"content": [token("a1")], "refusal": None}))),
        event(chunk(choice(0, content="a2", logprobs={"content": [token("a2")], "refusal": None}))),
        event(chunk(choice(0, "stop"))),
        event(end),
    ]
    return _sample(CHAT, events, end.encode())


def tools() -> Sample:
    """Two calls in pieces; the marker comes without the blank line behind it."""
    end = json.dumps(chunk(choice(finish="tool_calls")))

    def call(index: int, arguments: str, **head: Any) -> dict[str, Any]:
        name = {"name": head.pop("name")} if "name" in head else {}
        return {"index": index, **head, "function": {**name, "arguments": arguments}}

    events = [
        event(chunk(choice(role="assistant", content=None))),
        event(chunk(choice(tool_calls=[call(0, "", id="call_a", type="function", name="look")]))),
        event(chunk(choice(tool_calls=[call(0, '{"q":')]))),
        event(chunk(choice(tool_calls=[call(0, ' "é"}')]))),
        event(chunk(choice(tool_calls=[call(1, "{}", id="call_b", type="function", name="stop")]))),
        event(end),
        b"data: [DONE]",
    ]
    return _sample(CHAT, events, end.encode())


def marker() -> Sample:
    """A server that never says finish_reason: the marker alone proves the end."""
    events = [event(chunk(choice(content="a"))), event(chunk(choice(content="b"))), b"data: [DONE]\n"]
    return _sample(CHAT, events, b"[DONE]")


def error() -> Sample:
    """It breaks off with an error in the stream; nothing more is to come."""
    end = json.dumps({"error": {"code": 502, "message": "provider went away"}, "choices": [choice(0, "error")]})
    return _sample(CHAT, [event(chunk(choice(content="a"))), event(end)], end.encode())


def unstreamed() -> Sample:
    """A server that ignores `stream`: one document, no event at all."""
    message = {"role": "assistant", "content": "whole"}
    body = {**chunk({"index": 0, "message": message, "finish_reason": "stop"}), "object": "chat.completion"}
    data = b"\n" + json.dumps(body).encode()
    return Sample(CHAT, data, len(data))


def text() -> Sample:
    """Older completions."""
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    lists = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": None, "text_offset": [0]}
    end = json.dumps({**head, "choices": [{"index": 0, "text": "b", "finish_reason": "stop", "logprobs": lists}]})
    events = [
        event({**head, "choices": [{"index": 0, "text": "a", "finish_reason": None, "logprobs": lists}]}),
        event(end),
        event({**head, "choices": [], "usage": USAGE}),
        event("[DONE]"),
    ]
    return _sample("/v1/completions", events, end.encode())


def response() -> Sample:
    """Typed events; the last one carries everything."""
    part = {"type": "output_text", "text": "Hi there", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    start = response_body("in_progress", [])
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    whole = response_body("completed", [item], usage={**usage, **DETAILS})
    end = json.dumps({"type": "response.completed", "response": whole, "sequence_number": 9})
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    added = {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}}
    events = [
        event({"type": "response.created", "response": start}, "response.created"),
        event(added, "response.output_item.added"),
        event({"type": "response.output_text.delta", **place, "delta": "Hi"}, "response.output_text.delta"),
        event({"type": "response.output_text.delta", **place, "delta": " there"}, "response.output_text.delta"),
        event({"type": "response.output_item.done", "output_index": 0, "item": item}),
        event(end, "response.completed"),
    ]
    return _sample("/v1/responses", events, end.encode())


DETAILS = {
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


def response_body(status: str, output: list[Any], **rest: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "model": "m-1",
        "status": status,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **rest,
    }


SAMPLES = {
    make.__name__: make() for make in (openai, azure, reasoning, several, tools, marker, error, unstreamed, text, response)
}
