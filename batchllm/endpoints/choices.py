"""Streams whose chunks hold choices (chat and older completions): what they have in common.

A chunk: `{"id", "model", "choices": [{"index", "finish_reason", …}], "usage"}`. Choices interleave and may be
missing from any chunk (Azure's first, the usage chunk); usage may come cumulated in every chunk: the last one
counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from batchllm.endpoints.chunks import Chunks
from batchllm.endpoints.fields import as_dict, dicts
from batchllm.endpoints.finish import BROKEN
from batchllm.types import Json, Usage
from batchllm.usage import read_usage

# Not carried over from the chunks: `object` is another one, `obfuscation` is padding against eavesdroppers.
LEFT_OUT = frozenset({"choices", "usage", "object", "obfuscation", "error"})

# Groq's streams have the usage one level down.
USAGE_PLACES = (("usage",), ("x_groq", "usage"))


def first_choice(body: Json) -> Json | None:
    """The choice with index 0, wherever it stands; else the first there is."""
    given = body.get("choices")
    if type(given) is list and len(given) == 1 and type(given[0]) is dict:
        return given[0]  # nearly every reply
    choices = list(dicts(given))
    return next((choice for choice in choices if _is_zero(choice.get("index"))), choices[0] if choices else None)


def _is_zero(value: Any) -> bool:
    return value == 0 and isinstance(value, int) and not isinstance(value, bool)


def no_choice(body: Json) -> str:
    what = 'no "choices"' if body.get("choices") is None else 'no usable entry in "choices"'
    return f"The reply has {what}."


def usage_of(body: Json, choice: Json | None) -> Usage | None:
    """The reply's usage; Moonshot's streams have it in the choice."""
    return (
        read_usage(body.get("usage"))
        or read_usage(as_dict(body.get("x_groq")).get("usage"))
        or read_usage((choice or {}).get("usage"))
    )


class Growing(Protocol):
    """One choice as it grows."""

    finish: str | None

    def take(self, choice: Json) -> None: ...

    def body(self, index: int) -> Json: ...


class ChoicesAssembler:
    """One streamed reply. `asked` is how many choices the request wants: fewer are whole only if the server says so."""

    __slots__ = ("_asked", "_choices", "_chunks", "_head", "_make", "_object", "_usage")

    def __init__(self, name: str, make: Callable[[], Growing], asked: int = 1) -> None:
        self._object = name
        self._make = make
        self._asked = asked
        self._chunks = Chunks(self._take, self._whole)
        self._head: Json = {}
        self._choices: dict[int, Growing] = {}
        self._usage: Json | None = None

    def feed(self, data: bytes) -> bool:
        return self._chunks.feed(data)

    @property
    def finished(self) -> bool:
        """Also true once the server has said what went wrong, or answered in one piece: that is all."""
        chunks = self._chunks
        chunks.settle()
        return chunks.told or (not chunks.torn and self._ended())

    def body(self) -> Json:
        chunks = self._chunks
        chunks.settle()
        if (told := chunks.word()) is not None:
            return told
        head = {"id": "", "created": 0, "model": "", **self._head, "object": self._object}
        choices = [self._choices[index].body(index) for index in sorted(self._choices)]
        return {**head, "choices": choices, "usage": self._usage}

    def _ended(self) -> bool:
        """`[DONE]` ends it however many came. Indexes count from 0: one missing below another has not begun yet."""
        choices = self._choices
        if not choices:
            return False
        if self._chunks.done:
            return True
        return self._asked <= len(choices) > max(choices) and all(choice.finish for choice in choices.values())

    def _whole(self) -> bool:
        """Ended so that nothing said afterwards can take the answer back."""
        return self._ended() and not any(choice.finish in BROKEN for choice in self._choices.values())

    def _take(self, chunk: Json) -> None:
        head = self._head
        for key, value in chunk.items():
            if value is not None and value != "" and key not in LEFT_OUT:
                head[key] = value
        usage = chunk.get("usage")
        if usage and isinstance(usage, dict):
            self._usage = usage
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice.get("index")).take(choice)

    def _choice(self, index: Any) -> Growing:
        """The choice of an index; a server that leaves it out has only one."""
        if type(index) is not int or index < 0:  # a bool is an int, and no index
            index = 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = self._make()
        return choice
