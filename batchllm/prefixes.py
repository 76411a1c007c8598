"""Prompts that begin alike, and in which order a provider's cache serves them best. Pure.

A provider that keeps the beginnings of prompts reads a shared one once, if the prompts that share it come one after the
other, and not all at once: those that are sent together all miss. So prompts are sorted, which brings equal beginnings
together at every depth (a system prompt, then a document under it), and each waits for the first that has its beginning.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from batchllm.billing import READS_ONLY
from batchllm.strictjson import canonical
from batchllm.types import Request

STEP = 1024
"""Bytes of prompt in which beginnings are measured, about 256 tokens: a shorter one is not worth waiting for."""
REMEMBERED = 4096
"""Beginnings remembered as warm; a provider forgets too."""
_LEADING = ("model", "tools", "response_format", "instructions", "messages", "input", "prompt")

Entry = Request | tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry in its place: `after` is the place of the one it waits for, None if it may go at once; `beginning` names
    what the two share."""

    entry: Entry
    after: int | None = None
    beginning: bytes = b""


def prompt_of(entry: Entry) -> bytes:
    """What a provider reads, in the order it reads it; empty for what has no prompt that is read."""
    if isinstance(entry, tuple) or entry.url.endswith(READS_ONLY):
        return b""
    return canonical([entry.body.get(name) for name in _LEADING])


def shared(one: bytes, other: bytes) -> int:
    """Whole steps at the beginning that two prompts have in common."""
    least = min(len(one), len(other)) // STEP
    steps = 0
    while steps < least and one[steps * STEP : (steps + 1) * STEP] == other[steps * STEP : (steps + 1) * STEP]:
        steps += 1
    return steps


def placed(entries: Sequence[Entry]) -> list[Placed]:
    """The entries in sorted order, each behind the first that shares its longest beginning."""
    prompts = sorted(((prompt_of(one), at) for at, one in enumerate(entries)))
    made: list[Placed] = []
    open_beginnings: list[tuple[int, int]] = []
    """(steps, place of the first that has them), ascending in both."""
    before = b""
    for place, (prompt, at) in enumerate(prompts):
        steps, first = shared(before, prompt), place - 1
        while open_beginnings and open_beginnings[-1][0] >= steps:
            first = open_beginnings.pop()[1]
        if steps:
            open_beginnings.append((steps, first))
            made.append(Placed(entries[at], first, named(prompt[: steps * STEP])))
        else:
            made.append(Placed(entries[at]))
        before = prompt
    return made


def named(beginning: bytes) -> bytes:
    return blake2b(beginning, digest_size=8).digest()


class Warm:
    """The beginnings that an answered prompt has brought into the provider's cache, the last few thousand."""

    def __init__(self) -> None:
        self._names: OrderedDict[bytes, None] = OrderedDict()

    def add(self, beginning: bytes) -> None:
        self._names[beginning] = None
        self._names.move_to_end(beginning)
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)

    def __contains__(self, beginning: bytes) -> bool:
        if beginning not in self._names:
            return False
        self._names.move_to_end(beginning)
        return True
