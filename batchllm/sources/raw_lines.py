"""A file as numbered lines of bytes: split at `\\n` and nothing else, in memory bounded by the longest line allowed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from batchllm.errors import ExitCode, JobError

BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


UNREADABLE = (EOFError, OSError, zlib.error)
"""What reading a file raises that ends too soon, is no gzip or lies on a failing disk."""


def unreadable(path: Path, line: int, error: Exception) -> JobError:
    """The end of a run whose job cannot be read behind this line."""
    return JobError(ExitCode.BAD_DATA, f"{path}: damaged after line {line}: {error}")


class TooLong(int):
    """Stands for a line above the cap: the number of bytes it has, its content skipped."""


def open_job(path: Path) -> BinaryIO:
    """The job file for reading, unpacked if it ends in `.gz`. Raises `JobError` (65) with the reason it cannot be."""
    try:
        if path.is_dir():
            raise JobError(ExitCode.BAD_DATA, f"{path} is a folder; name a JSONL file in it")
        if path.exists() and not path.is_file():
            raise JobError(ExitCode.BAD_DATA, f"{path} can be read only once, a job is read twice; save it to a file first")
        stream: BinaryIO = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb", buffering=0)  # type: ignore[assignment]  # noqa: SIM115 (the caller closes it)
        return stream
    except FileNotFoundError:
        raise JobError(ExitCode.BAD_DATA, f"{path}: there is no such file") from None
    except OSError as error:
        raise JobError(ExitCode.BAD_DATA, f"{path}: cannot be read: {error.strerror}") from None


def raw_lines(path: Path, max_bytes: int, start: tuple[int, int] = (0, 0)) -> Iterator[tuple[int, bytes | TooLong]]:
    """Each line's number (from 1) and bytes without its line end; blank lines come too, as empty ones.

    `start` is (lines to count as read, byte offset behind them). Raises `JobError` (65) for UTF-16 and for a
    damaged gzip file.
    """
    with open_job(path) as file:
        number, offset = start
        if offset:
            file.seek(offset)
        try:
            for line in _split(file, max_bytes, strip_bom=not offset):
                number += 1
                yield number, line
        except UnicodeError as error:
            raise JobError(ExitCode.BAD_DATA, f"{path} {error}") from None
        except UNREADABLE as error:
            raise unreadable(path, number, error) from None


def _split(file: BinaryIO, max_bytes: int, *, strip_bom: bool) -> Iterator[bytes | TooLong]:
    rest: list[bytes] = []
    size = 0
    first = strip_bom
    while block := file.read(BLOCK):
        if first:
            block, first = _without_bom(block), False
        *whole, last = block.split(b"\n")
        for piece in whole:
            if rest or size:
                size += len(piece)
                yield b"".join([*rest, piece]).rstrip(b"\r") if size <= max_bytes else TooLong(size)
                rest, size = [], 0
            elif len(piece) <= max_bytes:
                yield piece.rstrip(b"\r")
            else:
                yield TooLong(len(piece))
        size += len(last)
        if size > max_bytes:
            rest = []  # what is kept of a line above the cap is its length
        elif last:
            rest.append(last)
    if size:
        yield b"".join(rest).rstrip(b"\r") if size <= max_bytes else TooLong(size)


def _without_bom(block: bytes) -> bytes:
    if block.startswith(_UTF16):
        raise UnicodeError("is UTF-16; save it as UTF-8 (one JSON object per line)")
    return block.removeprefix(_BOM)
