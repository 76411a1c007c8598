"""Content encodings, unpacked piece by piece: never more at once than a piece holds, whatever was packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Self

PIECE = 1 << 18
"""Bytes a decompressor may return at once; the cap on a reply's size is looked at between two."""
_GZIP = 16 + zlib.MAX_WBITS
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


class DamagedError(Exception):
    """What came is not what the encoding's name says."""


class Unpacker:
    """Unpacks gzip (also several members in a row) and deflate."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._inner = zlib.decompressobj(window)
        self._begun = False

    @classmethod
    def of(cls, encoding: str) -> Self | None:
        """None for an encoding nobody asked for: its bytes are kept as they are."""
        window = _WINDOWS.get(encoding.strip().lower())
        return None if window is None else cls(window)

    @property
    def whole(self) -> bool:
        """Whether what came so far ends where the encoding says it ends; nothing at all is whole too."""
        return self._inner.eof or not self._begun

    def unpacked(self, data: bytes) -> Iterator[bytes]:
        """Raises `DamagedError`."""
        self._begun = True
        while data:
            if self._inner.eof:
                self._inner = zlib.decompressobj(self._window)
            try:
                piece = self._inner.decompress(data, PIECE)
            except zlib.error:
                raise DamagedError from None
            data = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
            if piece:
                yield piece
