"""Which worker has which line, and what is to be done with the lines of one that is gone. Pure.

A line is held from its hand-over to its record. Of two records the first counts: the second finds its line no longer held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from batchllm.engines.ray_pool.wire import NUMBER, Line, Unit, request_of, unit_of
from batchllm.sources.job_file import Rereading
from batchllm.types import Extras, Json

MAX_LOSSES = 4
"""Workers that may be lost with a line in flight before the line is left out: it may be what brings them down."""


@dataclass(slots=True)
class _Held:
    line: Line
    unit: int
    worker: int | None
    begun: bool = False
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """What a lost worker leaves: lines it had in flight, how many were only handed to it, lines that are given up."""

    begun: list[Line]
    unbegun: int
    given_up: list[Line]


class Custody:
    """Memory follows the lines held, which follow the workers' shares of the cap."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._counts: dict[int, int] = {}
        self.waiting: deque[Unit] = deque()
        """Units of lost workers, to be handed over before new ones."""

    def __len__(self) -> int:
        return len(self._held)

    def count(self, worker: int) -> int:
        """Lines a worker has."""
        return self._counts.get(worker, 0)

    def hand(self, worker: int, unit: Unit) -> None:
        """The unit goes to this worker."""
        first = unit[0][NUMBER]
        for line in unit:
            number = line[NUMBER]
            earlier = self._held.get(number)
            self._held[number] = _Held(line, first, worker, losses=0 if earlier is None else earlier.losses)
        self._counts[worker] = self._counts.get(worker, 0) + len(unit)

    def line(self, number: int) -> Line | None:
        """A line that has no record yet."""
        held = self._held.get(number)
        return None if held is None else held.line

    def begun(self, worker: int, number: int) -> None:
        """A request for this line (or for the unit it leads) has gone out."""
        held = self._held.get(number)
        if held is not None and held.worker == worker:
            held.begun = True

    def recorded(self, number: int) -> tuple[bool, int | None]:
        """The line has a record: whether it is the first, and who held the line then."""
        held = self._held.pop(number, None)
        if held is None:
            return False, None
        if held.worker is not None:
            self._counts[held.worker] -= 1
        return True, held.worker

    def turn(self, worker: int, number: int, note: Json, rereading: Rereading) -> None:
        """A turn of the line's conversation is answered: whoever asks it next goes on behind it."""
        held = self._held.get(number)
        if held is None or held.worker != worker:
            return
        request = request_of(held.line, rereading)
        extras = request.extras or Extras()
        (held.line,) = unit_of(replace(request, extras=replace(extras, begun=(*extras.begun, note))))

    def lost(self, worker: int, *, blamed: bool = True) -> Loss:
        """The worker is gone: what it had waits for others. Lines that too many workers were lost with are `blamed` for it."""
        mine = [held for held in self._held.values() if held.worker == worker]
        self._counts.pop(worker, None)
        leaders = {held.unit for held in mine if held.begun}
        begun = [held for held in mine if held.unit in leaders]
        given_up = []
        for held in begun if blamed else ():
            held.losses += 1
            if held.losses >= MAX_LOSSES:
                given_up.append(held.line)
                del self._held[held.line[NUMBER]]
        self.waiting.extend(_units(held for held in mine if held.line[NUMBER] in self._held))
        for held in mine:
            held.worker, held.begun = None, False
        return Loss([held.line for held in begun], len(mine) - len(begun), given_up)

    def next_waiting(self) -> Unit | None:
        """A unit of a lost worker, without the lines that were answered meanwhile after all."""
        while self.waiting:
            unit = tuple(line for line in self.waiting.popleft() if self._waits(line))
            if unit:
                return unit
        return None

    def _waits(self, line: Line) -> bool:
        held = self._held.get(line[NUMBER])
        return held is not None and held.worker is None


def _units(held: Iterable[_Held]) -> list[Unit]:
    groups: dict[int, list[Line]] = {}
    for one in held:
        groups.setdefault(one.unit, []).append(one.line)
    return [tuple(lines) for lines in groups.values()]
