"""How the pieces of a streamed choice grow together: rules by field, since vendors add fields at will."""

from __future__ import annotations

from typing import Any

from batchllm.endpoints.fields import as_dict
from batchllm.types import Json

# Inside a nested delta these texts are continued from chunk to chunk; of any other the last word counts.
GROWING = frozenset({"arguments", "input", "data", "transcript"})
# Said once by most, repeated by some, drawn anew in each chunk by others (vLLM's ids): the first word counts.
SAID_ONCE = frozenset({"id", "name", "type"})


def merge(into: Json, delta: Json) -> None:
    """Continue a nested object (`function_call`, `audio`, one tool call), two levels deep: no vendor has
    more.
    """
    for key, value in delta.items():
        old = into.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            _merge_flat(old, value)
        elif isinstance(value, dict):
            into[key] = dict(value)
        else:
            _grow(into, key, value)


def _merge_flat(into: Json, delta: Json) -> None:
    for key, value in delta.items():
        _grow(into, key, value)


def _grow(into: Json, key: str, value: Any) -> None:
    old = into.get(key)
    if value is None:
        return
    if key in GROWING and isinstance(old, str) and isinstance(value, str):
        into[key] = old + value
    elif key not in SAID_ONCE or not old:
        into[key] = value


def extend_lists(into: Json, delta: Json) -> None:
    """Log probabilities: `{"content": […], "refusal": […]}`, or the parallel lists of older completions."""
    for key, value in delta.items():
        old = into.get(key)
        if isinstance(value, list) and isinstance(old, list):
            old.extend(value)
        elif value is not None or key not in into:
            into[key] = list(value) if isinstance(value, list) else value


class ToolCalls:
    """The calls of one choice, by index where the server says one.

    Shape of a delta: `{"index", "id", "type", "function": {"name", "arguments"}}`; id and name come first,
    the arguments in pieces. Gemini leaves the index out and sends each call whole; some gateways say index 0
    for every one.
    """

    __slots__ = ("_calls", "_last")

    def __init__(self) -> None:
        self._calls: dict[int, Json] = {}
        self._last = 0

    def take(self, delta: Json) -> None:
        index = self._index(delta)
        call = self._calls.get(index)
        if call is not None and _begins_another(call, delta):
            index, call = max(self._calls) + 1, None
        if call is None:
            call = self._calls[index] = {}
        self._last = index
        merge(call, {key: value for key, value in delta.items() if key != "index"})

    def _index(self, delta: Json) -> int:
        index = delta.get("index")
        if isinstance(index, int) and not isinstance(index, bool):
            return index
        said = delta.get("id")
        return next((at for at, call in self._calls.items() if said and call.get("id") == said), self._last)

    def calls(self) -> list[Json]:
        """As a reply in one piece has them: in order, without the index."""
        return [_whole(self._calls[index]) for index in sorted(self._calls)]


def _whole(call: Json) -> Json:
    """A call without arguments has them empty, not missing: the type that users load it as demands both."""
    call = {"id": "", "type": "function", **call}
    if call["type"] != "function":
        return call
    return {**call, "function": {"name": "", "arguments": "", **_callee(call)}}


def _begins_another(call: Json, delta: Json) -> bool:
    """Another call, not this one continued: named anew, with a new id or with none after the arguments."""
    callee, said = _callee(call), delta.get("id")
    if not callee.get("name") or not _callee(delta).get("name"):
        return False
    if said:
        return bool(said != call.get("id"))
    return "index" not in delta and bool(callee.get("arguments"))


def _callee(call: Json) -> Json:
    return as_dict(call.get("function")) or as_dict(call.get("custom"))
