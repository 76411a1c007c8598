"""Puts the typed events of a streamed response together.

Each event has a `type` (platform.openai.com/docs/api-reference/responses-streaming). The terminal ones carry
the whole response; until then it is what `response.created` said plus the items and texts seen so far.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from batchllm.endpoints.chunks import Chunks
from batchllm.endpoints.fields import as_dict, as_text
from batchllm.types import Json

TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled", "response.done"})


class Place(NamedTuple):
    """Where a text delta belongs in its item: `item[parts][n] = {"type": kind, field: text}`."""

    parts: str
    kind: str
    field: str
    position: str


TEXTS = {
    "response.output_text.delta": Place("content", "output_text", "text", "content_index"),
    "response.refusal.delta": Place("content", "refusal", "refusal", "content_index"),
    "response.reasoning_text.delta": Place("content", "reasoning_text", "text", "content_index"),
    "response.reasoning_summary_text.delta": Place("summary", "summary_text", "text", "summary_index"),
}
ARGUMENTS = "response.function_call_arguments.delta"
ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})


class ResponseAssembler:
    """One streamed response."""

    __slots__ = ("_arguments", "_chunks", "_items", "_response", "_terminal", "_texts")

    def __init__(self) -> None:
        self._chunks = Chunks(self._take, lambda: self._terminal)
        self._response: Json = {}
        self._terminal = False
        self._items: dict[int, Json] = {}
        self._texts: dict[tuple[int, Place, int], list[str]] = {}
        self._arguments: dict[int, list[str]] = {}

    def feed(self, data: bytes) -> bool:
        return self._chunks.feed(data)

    @property
    def finished(self) -> bool:
        """A terminal event carries everything, so that a hole before it does no harm."""
        self._chunks.settle()
        return self._terminal or self._chunks.told

    def body(self) -> Json:
        self._chunks.settle()
        if (told := self._chunks.word()) is not None:
            return told
        response = {"object": "response", **self._response}
        if not response.get("output"):  # gateways leave it out of the terminal event
            response["output"] = [self._item(index) for index in self._indexes()]
        return response

    def _take(self, event: Json) -> None:
        kind = event.get("type")
        if not isinstance(kind, str):
            return
        if (place := TEXTS.get(kind)) is not None:
            key = (_index(event, "output_index"), place, _index(event, place.position))
            self._texts.setdefault(key, []).append(as_text(event.get("delta")) or "")
        elif kind == ARGUMENTS:
            pieces = self._arguments.setdefault(_index(event, "output_index"), [])
            pieces.append(as_text(event.get("delta")) or "")
        elif kind in ITEMS and isinstance(event.get("item"), dict):
            self._take_item(kind, _index(event, "output_index"), event["item"])
        elif isinstance(event.get("response"), dict) and not self._terminal:
            self._response = event["response"]
            self._terminal = kind in TERMINAL

    def _take_item(self, kind: str, index: int, item: Json) -> None:
        self._items[index] = item
        if kind.endswith(".done"):  # whole: its pieces are of no more use
            self._arguments.pop(index, None)
            for key in [key for key in self._texts if key[0] == index]:
                del self._texts[key]

    def _indexes(self) -> list[int]:
        return sorted({*self._items, *self._arguments, *(key[0] for key in self._texts)})

    def _item(self, index: int) -> Json:
        """An item as far as it came: the texts that are not yet in it are put where they belong."""
        item = {"type": "message", "role": "assistant", **self._items.get(index, {})}
        if index in self._arguments:
            item["arguments"] = "".join(self._arguments[index])
        for place, position in sorted(key[1:] for key in self._texts if key[0] == index):
            text = "".join(self._texts[index, place, position])
            part: Json = {"type": place.kind, place.field: text}
            if place.kind == "output_text":
                part["annotations"] = []
            item[place.parts] = [*(item.get(place.parts) or []), part]
        return item


def _index(event: Json, name: str) -> int:
    value: Any = as_dict(event).get(name)
    return value if type(value) is int else 0
