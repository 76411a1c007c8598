"""So many inputs for each target, each told by target, seed and number: what broke can be tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.fuzz import corpus
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS

SLOWEST_S = 5.0
"""Of processor time for one input: beyond it something is not linear."""
MOST_CRASHES = 5


@dataclass
class Tried:
    """Inputs by target, what broke, and the longest processor time one input took."""

    counts: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def seeds_of(target: str) -> tuple[bytes, ...]:
    chosen = {
        "job line": corpus.lines(), "job file": corpus.lines(), "events": corpus.streams(), "waits": corpus.texts(corpus.WAITS),
        "answer json": (*corpus.texts(corpus.ANSWERS), *corpus.replies()),
        "reply": (*corpus.replies(), *corpus.streams()), "broken reply": (*corpus.replies(), *corpus.streams()),
        "endpoint": (*corpus.replies(), *corpus.streams()), "error body": corpus.replies(), "usage": corpus.replies(),
    }  # fmt: skip
    return chosen.get(target, corpus.everything())


def attempt(target: str, seed: int, number: int) -> bytes:
    """Try one input, and give it back. Raises whatever the target raises."""
    rng = random.Random(f"{target} {seed} {number}")
    data = mutated(seeds_of(target), corpus.everything(), rng)
    TARGETS[target](data, rng)
    return data


def fuzz_count(target: str, count: int, seed: int, tried: Tried | None = None) -> Tried:
    """Try inputs 0 … count - 1 of a target."""
    return _fuzz(target, iter(range(count)), seed, tried or Tried())


def fuzz(seconds: float, seed: int) -> Tried:
    """Try every target for its share of `seconds`."""
    tried = Tried()
    for target in TARGETS:
        _fuzz(target, _until(time.monotonic() + seconds / len(TARGETS)), seed, tried)
    return tried


def _fuzz(target: str, numbers: Iterator[int], seed: int, tried: Tried) -> Tried:
    crashes = 0
    for number in numbers:
        began = time.process_time()
        try:
            attempt(target, seed, number)
        except Exception as error:
            crashes += 1
            tried.broken.append(f"attempt({target!r}, {seed}, {number}): {type(error).__name__}: {str(error)[:200]}")
        took = time.process_time() - began
        if took > SLOWEST_S:
            tried.broken.append(f"attempt({target!r}, {seed}, {number}) took {took:.1f} s")
        tried.slowest_s = max(tried.slowest_s, took)
        tried.counts[target] = tried.counts.get(target, 0) + 1
        if crashes == MOST_CRASHES:
            break
    return tried


def _until(end: float) -> Iterator[int]:
    number = 0
    while time.monotonic() < end:
        yield number
        number += 1
