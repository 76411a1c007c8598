"""A fair choice of a fixed number out of a stream of unknown length, the same one every time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Reservoir(Generic[T]):
    """Holds at most `size` of all values offered, each with the same odds. What is not chosen need not be made."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._random = random.Random(seed)
        self._places: dict[int, int] = {}
        self._numbers: list[int] = []
        self._values: list[T] = []
        self.offered = 0

    def offer(self, number: int, make: Callable[[], T]) -> None:
        """Offer the value numbered so; `make` is called if it is chosen."""
        self.offered += 1
        if len(self._values) < self._size:
            self._places[number] = len(self._values)
            self._numbers.append(number)
            self._values.append(make())
            return
        place = int(self._random.random() * self.offered)
        if place < self._size:
            del self._places[self._numbers[place]]
            self._places[number] = place
            self._numbers[place], self._values[place] = number, make()

    def replace(self, number: int, make: Callable[[], T]) -> None:
        """A later value for a number that was offered before: it takes the place of that one if it has been chosen."""
        place = self._places.get(number)
        if place is not None:
            self._values[place] = make()

    def values(self) -> list[T]:
        return list(self._values)
