"""`split` and `merge`: one file into several, several into one. Lines go through byte by byte as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from batchllm.errors import ExitCode, JobError
from batchllm.journal.ids import Ids
from batchllm.jsonl.streams import custom_id, lines, parsed, shown
from batchllm.sinks.pipe import target

MOST_PARTS = 1000
"""Files open at the same time, where lines are dealt out."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a part ends: after so many lines, so many bytes, whichever comes first; or lines dealt out to `parts` in turn."""

    lines: int | None = None
    bytes: int | None = None
    parts: int | None = None


def split(source: Path, stem: Path, cut: Cut) -> list[Path]:
    """Write `STEM-00001.jsonl` and so on; each file appears when it is whole. Raises `JobError` (2, 65, 74)."""
    if cut.parts is not None:
        return _dealt(source, stem, cut.parts)
    made: list[Path] = []
    found = lines(source)
    waiting = next(found, None)
    while waiting is not None:
        path = _name(stem, len(made) + 1)
        with target(path) as file:
            waiting = _fill(file, waiting[1], found, cut)
        made.append(path)
    return made


def _fill(file: BinaryIO, first: bytes, rest: Iterator[tuple[int, bytes]], cut: Cut) -> tuple[int, bytes] | None:
    """One part, which has at least one line; gives the first line of the next."""
    size, count = file.write(first + b"\n"), 1
    for number, raw in rest:
        if (cut.lines is not None and count >= cut.lines) or (cut.bytes is not None and size + len(raw) + 1 > cut.bytes):
            return number, raw
        size += file.write(raw + b"\n")
        count += 1
    return None


def _dealt(source: Path, stem: Path, parts: int) -> list[Path]:
    if not 1 <= parts <= MOST_PARTS:
        raise JobError(ExitCode.USAGE, f"--parts is between 1 and {MOST_PARTS}")
    paths = [_name(stem, number) for number in range(1, parts + 1)]
    with ExitStack() as stack:
        files = [stack.enter_context(target(path)) for path in paths]
        for at, (_, raw) in enumerate(lines(source)):
            files[at % parts].write(raw + b"\n")
    return paths


def _name(stem: Path, number: int) -> Path:
    return stem.with_name(f"{stem.name.removesuffix('.jsonl')}-{number:05d}.jsonl")


@dataclass(slots=True)
class Merged:
    lines: int = 0
    left_out: int = 0


def merge(sources: Sequence[Path], file: BinaryIO, repeated: str) -> Merged:
    """All lines in the order of the files. `repeated` says what becomes of a `custom_id` that was there before: `keep` it, or
    `first` leaves it out, or `refuse` raises `JobError` (65) naming both. Lines without an id are no repetition.
    """
    done, ids = Merged(), Ids()
    for source in sources:
        for number, raw in lines(source):
            if repeated != "keep":
                values = parsed(source, number, raw)
                earlier = ids.add(done.lines + 1, custom_id(values, number)) if "custom_id" in values else 0
                if earlier and repeated == "refuse":
                    raise JobError(ExitCode.BAD_DATA, _twice(source, number, custom_id(values, number), earlier))
                if earlier:
                    done.left_out += 1
                    continue
            file.write(raw + b"\n")
            done.lines += 1
    return done


def _twice(source: Path, number: int, name: str, earlier: int) -> str:
    return (
        f"{shown(source)}, line {number}: custom_id '{name[:60]}' stands in line {earlier} of the merged file already; "
        "--repeated first leaves it out, --repeated keep keeps both"
    )
