"""Local images and sound as files: opened beneath one folder, known by their first bytes, shrunk on request.

Nothing on the way may be a symbolic link, and each folder is opened from the one before it, so that nothing that is
swapped in between leads elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

HEAD = 32
"""Bytes that show a file's type."""
MAX_PIXELS = 80_000_000
"""What is decoded to be shrunk: a few kilobytes of PNG can unpack to gigabytes."""
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "PNG", "image/bmp": "PNG"}


class MediaError(ValueError):
    """Why a local file is not sent; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Media:
    """The rules for local files: the one folder they are read beneath, their largest size, and the longest side of an image."""

    root: Path | None = None
    max_bytes: int = 20 << 20
    image_max_px: int | None = None
    audio_as_url: bool = False


def missing(media: Media, path: str) -> str | None:
    """Why the file could not be sent now, in a sentence; it is not read whole for that. None if it could."""
    try:
        kind_of(path, read_beneath(media, path, HEAD))
    except MediaError as error:
        return str(error)
    return None


def kind_of(path: str, data: bytes) -> str:
    kind = sniffed(data[:HEAD])
    if kind is None:
        raise MediaError(f"{path}: is no image (png, jpeg, gif, webp, bmp) and no audio (wav, mp3, flac, ogg)")
    return kind


def read_beneath(media: Media, path: str, most: int | None = None) -> bytes:
    """The first `most` bytes of a regular file below the root (all if None), no link being followed on the way. Blocking."""
    assert media.root is not None
    descriptor = _opened(media.root, Path(path).parts, path)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(f"{path}: is no regular file")
        if status.st_size > media.max_bytes:
            raise MediaError(f"{path}: has {status.st_size:,} bytes, above sizes.media ({media.max_bytes:,})")
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            data = _read(file, media.max_bytes + 1 if most is None else most)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(data) > media.max_bytes:
        raise MediaError(f"{path}: grows above sizes.media ({media.max_bytes:,} bytes)")
    return data


def _read(file: RawIOBase, most: int) -> bytes:
    pieces: list[bytes] = []
    while most > 0 and (piece := file.read(min(most, 1 << 20))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _opened(root: Path, parts: tuple[str, ...], shown: str) -> int:
    """Folder by folder from the root, so that nothing swapped in between can lead elsewhere."""
    *folders, name = parts
    here = -1
    try:
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for folder in folders:
            deeper = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = deeper
        # Without O_NONBLOCK the opening of a pipe would wait for its writer.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.ENOTDIR)
        why = "a link, or no folder, on the way; links are not followed" if link else error.strerror
        raise MediaError(f"{shown}: cannot be read below {root}: {why}") from None
    finally:
        if here >= 0:
            os.close(here)


def sniffed(head: bytes) -> str | None:
    """The type that the first bytes of a file show, whatever its name says; None for what no endpoint takes."""
    for start, kind in (
        (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"), (b"BM", "image/bmp"), (b"fLaC", "audio/flac"), (b"OggS", "audio/ogg"), (b"ID3", "audio/mp3"),
    ):  # fmt: skip
        if head.startswith(start):
            return kind
    if head.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    # An MPEG frame: eleven bits of sync, a version and a layer that exist.
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08 and head[1] & 0x06 == 0x02:
        return "audio/mp3"
    return None


def shrunk(kind: str, data: bytes, path: str, media: Media) -> tuple[str, bytes]:
    """The image with no side above `image_max_px`, as it is if it has none."""
    if media.image_max_px is None or not kind.startswith("image/"):
        return kind, data
    from io import BytesIO

    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(data)) as image:
            if max(image.size) <= media.image_max_px:
                return kind, data
            if image.size[0] * image.size[1] > MAX_PIXELS:
                raise MediaError(f"{path}: has {image.size[0]} × {image.size[1]} pixels, too many to be shrunk here")
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((media.image_max_px, media.image_max_px))
            made = BytesIO()
            upright.save(made, format=_FORMATS[kind], quality=90)
    except MediaError:
        raise
    except Exception as error:  # a decoder's own kinds of failure are as many as formats
        raise MediaError(f"{path}: cannot be shrunk: {type(error).__name__}: {error}") from None
    return ("image/png" if _FORMATS[kind] == "PNG" else kind), made.getvalue()


def can_shrink() -> bool:
    """Whether Pillow is installed."""
    from importlib.util import find_spec

    return find_spec("PIL") is not None
