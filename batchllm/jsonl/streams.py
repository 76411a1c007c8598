"""Lines in, from a file or from stdin. (`sinks.pipe.target` is the way out.)"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.sinks.pipe import STDOUT
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.strictjson import loads
from batchllm.types import Json

LONGEST = 1 << 30
_BOM = b"\xef\xbb\xbf"


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of each line that is not blank, without its end. `-` is stdin."""
    for number, raw in _piped() if path == STDOUT else raw_lines(path, LONGEST):
        if isinstance(raw, TooLong):
            raise JobError(ExitCode.BAD_DATA, f"{path}: line {number} is {raw:,} bytes long")
        if raw and not raw.isspace():
            yield number, raw


def _piped() -> Iterator[tuple[int, bytes | TooLong]]:
    for number, raw in enumerate(sys.stdin.buffer, 1):
        yield number, (raw.removeprefix(_BOM) if number == 1 else raw).rstrip(b"\r\n")


def objects(path: Path) -> Iterator[tuple[int, Json]]:
    """Each line as an object. Raises `JobError` (65) naming the first line that is none."""
    for number, raw in lines(path):
        yield number, parsed(path, number, raw)


def parsed(path: Path, number: int, raw: bytes) -> Json:
    try:
        value = loads(raw)
    except ValueError as error:
        raise JobError(ExitCode.BAD_DATA, f"{shown(path)}, line {number}: {str(error)[:200]}") from None
    if type(value) is not dict:
        raise JobError(ExitCode.BAD_DATA, f"{shown(path)}, line {number}: it is no JSON object")
    return value


def custom_id(values: Json, number: int) -> str:
    """A line's id; a line without one is called as a run calls it."""
    found = values.get("custom_id")
    return found if isinstance(found, str) and found else f"line-{number}"


def shown(path: Path) -> str:
    return "stdin" if path == STDOUT else str(path)


def refuse_two_pipes(inputs: list[Path]) -> None:
    """Raises `JobError` (2) where stdin is named for more than one file."""
    if sum(path == STDOUT for path in inputs) > 1:
        raise JobError(ExitCode.USAGE, "stdin (-) can be read once")
