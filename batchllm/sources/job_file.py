"""The job file as requests, read as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from batchllm.errors import ExitCode, JobError
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.types import BadLine, Request, value

BATCH_LINES = 128
BATCH_BYTES = 1 << 20


class LineReader(Protocol):
    """What makes a request of a line, or says what is wrong with it. Never raises."""

    def read(self, number: int, raw: bytes | TooLong, *, again: bool = False) -> Request | BadLine: ...


@value
class Unread:
    """A line as it stands in the job, for whoever sends it to read. `digest`: the first 64 bits of what it had at first."""

    line: int
    raw: bytes = field(repr=False)
    digest: int


class JobFile:
    """Every line of a JSONL job that is not blank, in order; bad ones as `BadLine`."""

    def __init__(self, path: Path, reader: LineReader, max_line_bytes: int) -> None:
        self.path = path
        self._reader = reader
        self._max = max_line_bytes

    def __iter__(self) -> Iterator[Request | BadLine]:
        return self.since(0, 0)

    def since(self, lines: int, offset: int) -> Iterator[Request | BadLine]:
        """What stands behind so many lines, which end at this byte."""
        read = self._reader.read
        for number, raw in self._lines((lines, offset)):
            yield read(number, raw)

    def pending(self, wanted: Callable[[int], bool], last_line: int) -> Iterator[list[Request]]:
        """The requests of the wanted lines up to `last_line`, in small batches; other lines are not even parsed."""
        for lines in self._batches(wanted, last_line):
            found = [self._reader.read(number, raw, again=True) for number, raw in lines]
            if batch := [one for one in found if isinstance(one, Request)]:
                yield batch

    def unread(self, wanted: Callable[[int], bool], last_line: int, digests: Sequence[int]) -> Iterator[list[Unread]]:
        """The same lines without a look at what they hold; `digests` are by line number. Raises `JobError` (65) for one that
        has grown beyond what is read."""
        for lines in self._batches(wanted, last_line):
            batch = []
            for number, raw in lines:
                if isinstance(raw, TooLong):
                    raise changed(self.path, number)
                batch.append(Unread(number, raw, digests[number]))
            yield batch

    def _batches(self, wanted: Callable[[int], bool], last_line: int) -> Iterator[list[tuple[int, bytes | TooLong]]]:
        batch: list[tuple[int, bytes | TooLong]] = []
        size = 0
        for number, raw in self._lines():
            if number > last_line:
                break
            if not wanted(number):
                continue
            batch.append((number, raw))
            size += len(raw) if isinstance(raw, bytes) else 0
            if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _lines(self, start: tuple[int, int] = (0, 0)) -> Iterator[tuple[int, bytes | TooLong]]:
        for number, raw in raw_lines(self.path, self._max, start):
            if raw and not (type(raw) is bytes and raw.isspace()):
                yield number, raw


class Rereading:
    """Reads single lines once more, wherever their bytes have come to: with the same settings they are the same requests."""

    def __init__(self, path: Path, reader: LineReader) -> None:
        self._path = path
        self._reader = reader

    def request(self, line: Unread) -> Request:
        """Raises `JobError` (65) for a line that is not what it was when it was first read."""
        found = self._reader.read(line.line, line.raw, again=True)
        if isinstance(found, BadLine) or int(found.digest[:16], 16) != line.digest:
            raise changed(self._path, line.line)
        return found


def changed(path: Path, line: int) -> JobError:
    """The end of a run whose job is not what it was: what was meant to be asked is not there any more."""
    return JobError(ExitCode.BAD_DATA, f"{path}: line {line} was changed during the run")
