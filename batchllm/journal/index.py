"""Where each line of the job stands, in about 25 bytes a line, so that ten million lines fit beside a small process."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from hashlib import blake2b

from batchllm.journal.ids import Ids


class State(IntEnum):
    """Where a line stands. `BLANK` also means: there is no such line."""

    BLANK = 0
    PENDING = 1
    DONE = 2
    FAILED = 3
    INVALID = 4
    RETRY = 5  # failed earlier, to be done again in this run


_WANTED = frozenset({int(State.PENDING), int(State.RETRY)})
_STATES = tuple(State)
PIECE = 1 << 20


class JobIndex:
    """Lines by number and by `custom_id`, each with its state and the first 64 bits of its digest."""

    def __init__(self) -> None:
        self._ids = Ids()
        self._digests = array("Q", [0])
        self._states = bytearray(1)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def last_line(self) -> int:
        return len(self._states) - 1

    def add(self, line: int, custom_id: str, digest: str, state: State = State.PENDING) -> int:
        """Enter a line; 0, or the number of the earlier line with the same `custom_id` (then nothing is entered)."""
        earlier = self._ids.add(line, custom_id)
        if earlier:
            return earlier
        number = int(digest[:16], 16) if digest else 0
        if line == len(self._states):  # nearly every line comes right behind the one before
            self._digests.append(number)
            self._states.append(state)
        else:
            self._extend(line)
            self._digests[line], self._states[line] = number, state
        return 0

    def mark_invalid(self, line: int) -> None:
        """A line that is no request; it has no id of its own to be found by."""
        self._extend(line)
        self._states[line] = State.INVALID

    def find(self, custom_id: str) -> int:
        """The line with this id; 0 if the job has none."""
        return self._ids.find(custom_id)

    def same(self, line: int, digest: str) -> bool:
        """Whether the line's content is the one with this digest."""
        return self._digests[line] == int(digest[:16], 16)

    @property
    def digests(self) -> Sequence[int]:
        """The first 64 bits of each line's digest, by line number; 0 for a line that is none."""
        return self._digests

    def state(self, line: int) -> State:
        return _STATES[self._states[line]]

    def wanted(self, line: int) -> bool:
        """Whether the line is still to be sent."""
        return self._states[line] in _WANTED

    def set(self, line: int, state: State) -> None:
        self._states[line] = state

    def count(self, *states: State) -> int:
        return sum(self._states.count(state) for state in states)

    def lines(self, state: State) -> list[int]:
        """Every line in this state, ascending."""
        found, at = [], self._states.find(state)
        while at >= 0:
            found.append(at)
            at = self._states.find(state, at + 1)
        return found

    def forget_places(self) -> None:
        """Nothing will be looked up by its id for a while: a third of the memory is given back until something is."""
        self._ids.forget_places()

    def forget_names(self) -> None:
        """Keep where each line stands and nothing else: a run that has ended looks for no line any more."""
        self._ids, self._digests = Ids(), array("Q", [0])

    # -- as bytes, to be kept -------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[bytes]:
        """Everything known of the lines, in order, a megabyte at a time."""
        for column in self._columns():
            view = memoryview(column).cast("B")
            for at in range(0, len(view), PIECE):
                yield bytes(view[at : at + PIECE])

    def sizes(self) -> list[int]:
        """Bytes in each column."""
        return [memoryview(column).nbytes for column in self._columns()]

    def check(self) -> str:
        """A hash over all of it."""
        digest = blake2b(digest_size=16)
        for column in self._columns():
            digest.update(memoryview(column))
        return digest.hexdigest()

    def _columns(self) -> tuple[array[int], array[int], bytearray, array[int]]:
        hashes, slots = self._ids.columns()
        return hashes, self._digests, self._states, slots

    @classmethod
    def from_bytes(cls, read: Callable[[int], bytes], sizes: list[int], check: str) -> JobIndex:
        """The index whose `pieces` `read` gives, with every line as it was when they were written.

        Raises `ValueError` where they are not what they were.
        """
        index = cls()
        hashes, slots, index._digests, index._states = array("Q"), array("I"), array("Q"), bytearray()
        takes: tuple[Callable[[bytes], None], ...] = (
            hashes.frombytes,
            index._digests.frombytes,
            index._states.extend,
            slots.frombytes,
        )
        for take, size in zip(takes, sizes, strict=True):
            for at in range(0, size, PIECE):
                take(read(min(PIECE, size - at)))
        index._ids = Ids.of(hashes, slots)
        if index.check() != check:
            raise ValueError("not what was written")
        return index

    def _extend(self, line: int) -> None:
        missing = line + 1 - len(self._states)
        if missing > 0:
            self._digests.extend([0] * missing)
            self._states.extend(bytes(missing))
