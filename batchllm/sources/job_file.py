"""The job file as requests, read as often as needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batchllm.sources.raw_lines import raw_lines
from batchllm.sources.request_line import RequestLine
from batchllm.types import BadLine, Request


class JobFile:
    """Every line of a JSONL job that is not blank, in order; bad ones as `BadLine`."""

    def __init__(self, path: Path, reader: RequestLine, max_line_bytes: int) -> None:
        self.path = path
        self._reader = reader
        self._max = max_line_bytes

    def __iter__(self) -> Iterator[Request | BadLine]:
        read = self._reader.read
        for number, raw in raw_lines(self.path, self._max):
            if raw and not (type(raw) is bytes and raw.isspace()):
                yield read(number, raw)
