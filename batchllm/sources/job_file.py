"""The job file as requests, read as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.types import BadLine, Request

BATCH_LINES = 128
BATCH_BYTES = 1 << 20


class LineReader(Protocol):
    """What makes a request of a line, or says what is wrong with it. Never raises."""

    def read(self, number: int, raw: bytes | TooLong, *, again: bool = False) -> Request | BadLine: ...


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
        batch: list[Request] = []
        size = 0
        for number, raw in self._lines():
            if number > last_line:
                break
            if not wanted(number):
                continue
            one = self._reader.read(number, raw, again=True)
            if isinstance(one, Request):
                batch.append(one)
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
