"""An upload on its way to the disk: multipart in, one file out, in memory bounded by a piece and in bytes by the limit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from batchllm.gateway.api_error import FULL, ApiError, full_disk, invalid, too_large
from batchllm.journal.storage import Storage, write_all

PIECE = 1 << 18
FIELD_BYTES = 1024
OVERHEAD = 1 << 20
"""What a multipart body may have beside the file itself."""
BETWEEN = 1 << 16
"""Bytes of a part's header, and of whatever stands before it."""
IDLE_S = 60.0
FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")


@dataclass(slots=True)
class Upload:
    """What came in: the file's own bytes at `path`, and the fields beside it."""

    path: Path
    filename: str | None = None
    size: int = 0
    lines: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    ends_whole: bool = True

    def count(self, piece: bytes) -> None:
        self.size += len(piece)
        self.lines += piece.count(b"\n")
        self.ends_whole = piece.endswith(b"\n")

    @property
    def all_lines(self) -> int:
        return self.lines + (not self.ends_whole)


async def receive(request: web.Request, path: Path, most: int) -> Upload:
    """Read the whole request; its file is at `path` then, and safe. Whatever fails, nothing is left there.

    Raises `ApiError`: 400 for a body that is no upload, 408 for one that stopped, 413 above `most` bytes, 507 for a full disk.
    """
    if not request.content_type.startswith("multipart/"):
        raise invalid("The body has to be multipart/form-data with 'purpose' and 'file'.")
    if request.content_length is not None and request.content_length > most + OVERHEAD:
        raise _above(most)
    upload = Upload(path)
    try:
        stream = _Counted(request.content, most + OVERHEAD)
        reader = MultipartReader(request.headers, stream)  # type: ignore[arg-type]
        while (part := await _next(reader, stream)) is not None:
            await _take(part, upload, most)
        if upload.filename is None:
            raise invalid("Missing required parameter: 'file'.", "file", "missing_required_parameter")
    except (ValueError, AssertionError, LookupError, RuntimeError, HttpProcessingError) as error:
        _discard(path)
        raise invalid(f"The multipart body is malformed: {str(error)[:200] or type(error).__name__}.") from None
    except TimeoutError:
        _discard(path)
        raise ApiError(408, f"Nothing came for {IDLE_S:.0f} s.", code="timeout") from None
    except BaseException:
        _discard(path)
        raise
    return upload


class _Counted:
    """The request's stream with a bound on all of it, and a small one on what belongs to no part: garbage is told soon."""

    def __init__(self, stream: Any, most: int) -> None:
        self.between = 0
        """Bytes that may still come before the next part begins; not counted while a part is read."""
        self._stream = stream
        self._left = most
        self._most = most

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read(self, n: int = -1) -> bytes:
        return self._count(await self._stream.read(n))

    async def readline(self, **more: Any) -> bytes:
        line = self._count(await self._stream.readline(**more))
        self.between -= len(line)
        if self.between < 0:
            raise ValueError("there is no boundary where a part should begin")
        return line

    def unread_data(self, data: bytes) -> None:
        self._left += len(data)
        self._stream.unread_data(data)

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise _above(self._most - OVERHEAD)
        return data


async def _next(reader: MultipartReader, stream: _Counted) -> BodyPartReader | None:
    stream.between = BETWEEN
    async with asyncio.timeout(IDLE_S):
        part = await reader.next()
    stream.between = 1 << 62
    if part is not None and not isinstance(part, BodyPartReader):
        raise invalid("A part of the body is a multipart body itself.")
    return part


async def _take(part: BodyPartReader, upload: Upload, most: int) -> None:
    name = part.name or ""
    if name == "file":
        if upload.filename is not None:
            raise invalid("There are two parts named 'file'.", "file")
        upload.filename = _filename(part.filename)
        await _to_disk(part, upload, most)
        return
    value = bytearray()
    async for piece in _pieces(part):
        value += piece
        if len(value) > FIELD_BYTES:
            raise invalid(f"'{name[:40]}' is longer than {FIELD_BYTES} bytes.", name[:40])
    if name in FIELDS:
        upload.fields[name] = value.decode()


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    """As aiohttp hands them out: several belong together only where they are large."""
    while True:
        async with asyncio.timeout(IDLE_S):
            piece = await part.read_chunk(PIECE)
        if not piece:
            return
        yield piece


async def _to_disk(part: BodyPartReader, upload: Upload, most: int) -> None:
    storage = Storage()
    with disk_errors():
        fd = await asyncio.to_thread(storage.open, upload.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    waiting = bytearray()
    try:
        async for piece in _pieces(part):
            upload.count(piece)
            if upload.size > most:
                raise _above(most)
            waiting += piece
            if len(waiting) >= PIECE:
                await _write(storage, fd, waiting)
        await _write(storage, fd, waiting)
        with disk_errors():
            await asyncio.to_thread(storage.fsync, fd)
    finally:
        storage.close(fd)


async def _write(storage: Storage, fd: int, waiting: bytearray) -> None:
    data = bytes(waiting)
    waiting.clear()
    with disk_errors():
        await asyncio.to_thread(write_all, storage, fd, data)


@contextmanager
def disk_errors() -> Iterator[None]:
    """A disk that takes no more, as the API says so."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise full_disk() from error
        raise


def _filename(text: str | None) -> str:
    """The name for lists; where the content lies has nothing to do with it."""
    name = (text or "upload.jsonl").replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in name if letter.isprintable())[:200] or "upload.jsonl"


def _above(most: int) -> ApiError:
    return too_large(f"The file is larger than {most:,} bytes, the most this gateway takes.")


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
