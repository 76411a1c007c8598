"""What differs between two files, by `custom_id`: lines that came, went, and changed, whatever their order."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.journal.index import JobIndex, State
from batchllm.jsonl.streams import custom_id, lines, parsed
from batchllm.strictjson import canonical
from batchllm.types import Json

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Change:
    """One line that differs. `fields` are the dotted names of what changed, where both files have the line."""

    what: str
    custom_id: str
    line: int
    fields: tuple[str, ...] = ()

    def as_json(self) -> Json:
        return {"change": self.what, "custom_id": self.custom_id, "line": self.line, "fields": list(self.fields)}


@dataclass(slots=True)
class Difference:
    """Counts of what was found."""

    same: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"added": 0, "removed": 0, "changed": 0})

    @property
    def any(self) -> bool:
        return any(self.counts.values())


def differences(before: Path, after: Path, found: Difference, *, ignore: frozenset[str] = frozenset()) -> Iterator[Change]:
    """Every change, those of `after` in its order, then what was removed. `before` is read again where lines changed, so it is
    a file; about 35 bytes a line of memory. Of several lines with one id, the first counts in `before`.
    """
    with closing(_Before(before, ignore)) as known:
        index = known.index
        for number, raw in lines(after):
            values = _without(parsed(after, number, raw), ignore)
            name = custom_id(values, number)
            line = index.find(name)
            if not line:
                yield _counted(found, Change("added", name, number))
                continue
            same = index.same(line, _digest(values))
            index.set(line, State.DONE)
            if same:
                found.same += 1
            else:
                yield _counted(found, Change("changed", name, number, tuple(_changed(known.at(line), values))))
        for line in index.lines(State.PENDING):
            yield _counted(found, Change("removed", custom_id(known.at(line), line), line))


def _counted(found: Difference, change: Change) -> Change:
    found.counts[change.what] += 1
    return change


class _Before:
    """The first file: its ids and digests by line, and each line again when asked for."""

    def __init__(self, path: Path, ignore: frozenset[str]) -> None:
        if path.suffix == ".gz":
            raise JobError(ExitCode.USAGE, f"{path}: unpack it first, lines of it are looked up by their place")
        self.index = JobIndex()
        self._path, self._ignore = path, ignore
        self._spots = array("q", [0])
        self._file = path.open("rb")
        offset = 0
        for number, raw in enumerate(self._file, 1):
            self._spots.append(offset)
            offset += len(raw)
            if not raw.isspace():
                values = _without(parsed(path, number, raw), ignore)
                self.index.add(number, custom_id(values, number), _digest(values))

    def at(self, line: int) -> Json:
        self._file.seek(self._spots[line])
        return _without(parsed(self._path, line, self._file.readline()), self._ignore)

    def close(self) -> None:
        self._file.close()


def _without(values: Json, ignore: frozenset[str]) -> Json:
    return {name: value for name, value in values.items() if name not in ignore} if ignore else values


def _digest(values: Json) -> str:
    return blake2b(canonical(values), digest_size=8).hexdigest()


def _changed(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The dotted names of what differs, at most `SHOWN`."""
    if type(before) is dict and type(after) is dict:
        names = [*before, *(name for name in after if name not in before)]
        pairs = [(name, before.get(name, _Absent), after.get(name, _Absent)) for name in names]
    elif type(before) is list and type(after) is list and len(before) == len(after):
        pairs = [(str(at), one, other) for at, (one, other) in enumerate(zip(before, after, strict=True))]
    else:
        yield path
        return
    for name, one, other in pairs:
        if one is _Absent or other is _Absent or one != other:
            yield from _changed(one, other, f"{path}.{name}" if path else name)


class _Absent:
    """Stands for a field that is not there."""
