"""The events of a streamed response, taken apart from the finished one. Pure.

Order as documented: created, in_progress; for each output item added, its parts with deltas, done; then
completed or incomplete. `sequence_number` counts through.
"""

from collections.abc import Iterator
from typing import Any

from batchllm.simulator import sse
from batchllm.simulator.reply import Frame
from batchllm.simulator.tokens import pieces

_Event = tuple[str, dict[str, Any], int]
"""Name, payload without type and sequence number, tokens."""


def frames(whole: dict[str, Any]) -> list[Frame]:
    events = enumerate(_events(whole))
    return [
        (sse.event(name, {"type": name, "sequence_number": number, **payload}), tokens)
        for number, (name, payload, tokens) in events
    ]


def _events(whole: dict[str, Any]) -> Iterator[_Event]:
    begun = {**whole, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield "response.created", {"response": begun}, 0
    yield "response.in_progress", {"response": begun}, 0
    for index, item in enumerate(whole["output"]):
        yield from _item_events(index, item)
    yield f"response.{whole['status']}", {"response": whole}, 0


def _item_events(index: int, item: dict[str, Any]) -> Iterator[_Event]:
    at = {"output_index": index, "item_id": item["id"]}
    blank: dict[str, dict[str, Any]] = {
        "message": {"content": []},
        "reasoning": {"summary": []},
        "function_call": {"arguments": ""},
    }
    started = {**item, "status": "in_progress", **blank[item["type"]]}
    yield "response.output_item.added", {"output_index": index, "item": started}, 0
    match item["type"]:
        case "message":
            yield from _part_events({**at, "content_index": 0}, item["content"][0])
        case "reasoning":
            yield from _summary_events({**at, "summary_index": 0}, item["summary"][0])
        case _:
            yield from _deltas("response.function_call_arguments", at, item["arguments"], "arguments")
    yield "response.output_item.done", {"output_index": index, "item": item}, 0


def _part_events(at: dict[str, Any], part: dict[str, Any]) -> Iterator[_Event]:
    name, key = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
    yield "response.content_part.added", {**at, "part": {**part, key: ""}}, 0
    extra: dict[str, Any] = {"logprobs": []} if name == "output_text" else {}
    yield from _deltas(f"response.{name}", {**at, **extra}, part[key], key)
    yield "response.content_part.done", {**at, "part": part}, 0


def _summary_events(at: dict[str, Any], part: dict[str, Any]) -> Iterator[_Event]:
    yield "response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}, 0
    yield from _deltas("response.reasoning_summary_text", at, part["text"], "text")
    yield "response.reasoning_summary_part.done", {**at, "part": part}, 0


def _deltas(name: str, at: dict[str, Any], text: str, key: str) -> Iterator[_Event]:
    for piece in pieces(text):
        yield f"{name}.delta", {**at, "delta": piece}, 1
    yield f"{name}.done", {**at, key: text}, 0
