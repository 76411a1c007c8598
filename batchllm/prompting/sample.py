"""A sample of a stream of unknown length, each element as likely as any other, given in the stream's order."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def sample(stream: Iterable[T], size: int, seed: int) -> Iterator[T]:
    """Algorithm R (Vitter 1985). Keeps `size` elements in memory; the same seed gives the same sample."""
    rng = random.Random(seed)
    kept: list[tuple[int, T]] = []
    for at, one in enumerate(stream):
        if at < size:
            kept.append((at, one))
            continue
        place = rng.randrange(at + 1)
        if place < size:
            kept[place] = (at, one)
    kept.sort(key=lambda pair: pair[0])
    return (one for _, one in kept)
