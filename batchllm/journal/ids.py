"""Numbers by `custom_id`, in about 16 bytes each, however long the ids are."""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Self

_LEAST = 1024


def _key(custom_id: str) -> int:
    """64 bits that are the same in every process, and never 0."""
    return int.from_bytes(blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


class Ids:
    """Ids are kept as 64-bit hashes: an open-addressed table of numbers from 1, checked against the hash of that number.

    A collision (odds of three in a million at ten million ids) shows as a duplicate, never as one that is lost.
    """

    def __init__(self) -> None:
        self._hashes = array("Q", [0])
        self._slots = array("I", bytes(4 * _LEAST))
        self._used = 0

    @classmethod
    def of(cls, hashes: array[int], slots: array[int]) -> Self:
        """The same ids again, from their `columns`."""
        found = cls()
        found._hashes, found._slots, found._used = hashes, slots, len(slots) - slots.count(0)
        return found

    def columns(self) -> tuple[array[int], array[int]]:
        """Everything that is kept: hashes by number, and the table."""
        return self._hashes, self._slots or self._placed(_LEAST)

    def __len__(self) -> int:
        return self._used

    def add(self, number: int, custom_id: str) -> int:
        """Enter an id; 0, or the number it was entered with before (then nothing is entered)."""
        key = _key(custom_id)
        slot = self._slot(key)
        if self._slots[slot]:
            return self._slots[slot]
        missing = number - len(self._hashes)
        if missing > 0:
            self._hashes.extend([0] * missing)
        if missing >= 0:
            self._hashes.append(key)
        else:
            self._hashes[number] = key
        self._slots[slot] = number
        self._used += 1
        if self._used * 3 > len(self._slots) * 2:
            self._placed(2 * len(self._slots))
        return 0

    def find(self, custom_id: str) -> int:
        """The number of this id; 0 if it was never entered."""
        slot = self._slot(_key(custom_id))
        return self._slots[slot]

    def forget_places(self) -> None:
        """Give up the table, which is made anew if an id is looked for."""
        self._slots = array("I")

    def _slot(self, key: int) -> int:
        slots, hashes = self._slots or self._placed(_LEAST), self._hashes
        mask = len(slots) - 1
        at = key & mask
        while (number := slots[at]) and hashes[number] != key:
            at = (at + 1) & mask
        return at

    def _placed(self, size: int) -> array[int]:
        """A table of at least this size, in place of the one there is."""
        while self._used * 3 > size * 2:
            size *= 2
        self._slots = array("I")  # never both in memory
        slots, mask = array("I", bytes(4 * size)), size - 1
        for number, key in enumerate(self._hashes):
            if key:
                at = key & mask
                while slots[at]:
                    at = (at + 1) & mask
                slots[at] = number
        self._slots = slots
        return slots
