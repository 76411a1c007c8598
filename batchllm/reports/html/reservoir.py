"""A fair choice of a fixed number out of a stream of unknown length, the same one every time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Reservoir(Generic[T]):
    """Holds at most `size` of all values offered, each with the same odds. What is not chosen need not be made.

    Li's Algorithm L: it draws how many values to pass over rather than a number for each of them.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._random = random.Random(seed)
        self._weight = 1.0
        self._next = 0
        self._places: dict[int, int] = {}
        self._numbers: list[int] = []
        self._values: list[T] = []
        self.offered = 0

    def offer(self, number: int, make: Callable[[], T]) -> None:
        """Offer the value numbered so; `make` is called if it is chosen."""
        self.offered += 1
        if self.offered < self._next:
            return
        place = len(self._values)
        if place < self._size:
            self._numbers.append(number)
            self._values.append(make())
        else:
            place = self._random.randrange(self._size)
            del self._places[self._numbers[place]]
            self._numbers[place], self._values[place] = number, make()
        self._places[number] = place
        if len(self._values) == self._size:
            self._pass_over()

    def replace(self, number: int, make: Callable[[], T]) -> None:
        """A later value for a number that was offered before: it takes the place of that one if it has been chosen."""
        place = self._places.get(number)
        if place is not None:
            self._values[place] = make()

    def values(self) -> list[T]:
        return list(self._values)

    def _pass_over(self) -> None:
        self._weight *= math.exp(math.log(1.0 - self._random.random()) / self._size)
        passed = math.log(1.0 - self._random.random()) / math.log1p(-min(self._weight, 1.0 - 1e-12))
        self._next = self.offered + int(passed) + 1
