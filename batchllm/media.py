"""Local images and audio in a request: which there are, and their bytes as the endpoint takes them.

A part of a message names a file by a `file:` URL or a relative path:

    {"type": "image_url", "image_url": {"url": "scans/17.png"}}          also "audio_url" (vLLM), "input_image" (responses)
    {"type": "input_audio", "input_audio": {"data": "calls/17.wav"}}

`http(s):`, `data:` and every other scheme pass through untouched; nothing is ever fetched. A file is read when the line is
sent, beneath one folder and never through a symbolic link, and is not kept.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from batchllm.strictjson import dumps
from batchllm.types import Json

NAMES = (b"_url", b"input_audio")
"""A line without any of these has no media in it (image_url, audio_url)."""
HEAD = 32
"""Bytes that show a file's type."""
LONGEST_PATH = 1024
"""A longer text without a scheme is no path but bare base64, which some servers take."""
MAX_PIXELS = 100_000_000
"""What is decoded to be shrunk: a few kilobytes of PNG can unpack to gigabytes."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
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


def local_paths(body: Json, media: Media) -> tuple[str, ...]:
    """The local files a request names, relative to the root, each once. Raises `MediaError` for one that may not be read."""
    found = [path for place in _places(body) if (path := _path(place, media)) is not None]
    return tuple(dict.fromkeys(found))


def with_media(body: Json, media: Media) -> tuple[Json, list[Json]]:
    """The body with every local file in place of its name, and what was sent: path, sha256 and bytes of each. Blocking."""
    facts: list[Json] = []
    known: dict[str, tuple[str, bytes]] = {}

    def content(path: str) -> tuple[str, bytes]:
        if path not in known:
            data = read_beneath(media, path)
            kind = _kind_of(path, data)
            facts.append({"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
            known[path] = _shrunk(kind, data, path, media)
        return known[path]

    made = dict(body)
    for field in ("messages", "input"):
        if isinstance(body.get(field), list):
            made[field] = [_message_with(message, media, content) for message in body[field]]
    return made, facts


def loaded(body: Json, media: Media) -> tuple[bytes, list[Json]]:
    """The bytes to send, and the facts of the files in them. Blocking; raises `MediaError`."""
    made, facts = with_media(body, media)
    return dumps(made), facts


def _message_with(message: Any, media: Media, content: Any) -> Any:
    parts = message.get("content") if isinstance(message, dict) else None
    if not isinstance(parts, list):
        return message
    return {**message, "content": [_part_with(part, media, content) for part in parts]}


def _part_with(part: Any, media: Media, content: Any) -> Any:
    place = _place(part)
    path = None if place is None else _path(place, media)
    if place is None or path is None:
        return part
    kind, data = content(path)
    if kind.split("/")[0] != place.kind:
        raise MediaError(f"{path}: is {kind}, where {place.kind} belongs")
    coded = b64encode(data).decode()
    if place.field is None:
        return {**part, place.name: f"data:{kind};base64,{coded}"}
    inner = dict(part[place.name])
    if place.field == "data":
        inner["data"] = f"data:;base64,{coded}" if media.audio_as_url else coded
        inner.setdefault("format", kind.split("/")[1])
    else:
        inner[place.field] = f"data:{kind};base64,{coded}"
    return {**part, place.name: inner}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a part a file's name stands: `part[name]`, or `part[name][field]`."""

    name: str
    field: str | None
    kind: str
    value: str


def _places(body: Json) -> Iterator[_Place]:
    for field in ("messages", "input"):
        messages = body.get(field)
        for message in messages if isinstance(messages, list) else ():
            parts = message.get("content") if isinstance(message, dict) else None
            for part in parts if isinstance(parts, list) else ():
                place = _place(part)
                if place is not None:
                    yield place


def _place(part: Any) -> _Place | None:
    if not isinstance(part, dict):
        return None
    for name, field, kind in (("image_url", "url", "image"), ("audio_url", "url", "audio"), ("input_audio", "data", "audio")):
        holder = part.get(name)
        if isinstance(holder, str) and field == "url":
            return _Place(name, None, kind, holder)
        if isinstance(holder, dict) and isinstance(holder.get(field), str):
            return _Place(name, field, kind, holder[field])
    return None


def _path(place: _Place, media: Media) -> str | None:
    """The path beneath the root, None where the value is no local file."""
    value = place.value
    is_file = value[:5].lower() == "file:"
    if not is_file and (not value or len(value) > LONGEST_PATH or _SCHEME.match(value)):
        return None
    if not is_file and place.field == "data" and "." not in value:
        return None  # base64 has no full stop
    shown = value[:100]
    if media.root is None:
        raise MediaError(f"'{shown}' is a local file, and none is read unless --media-root names the folder they lie in")
    path = _of_url(value) if is_file else value
    if "\0" in path:
        raise MediaError(f"'{shown}' is no path")
    if path.startswith("/"):
        beneath = os.path.relpath(os.path.normpath(path), media.root.absolute())
        path = path if ".." in Path(path).parts else beneath
    if path.startswith("/") or ".." in Path(path).parts or not Path(path).parts:
        raise MediaError(f"'{shown}' leads out of the media root {media.root}; only files below it are read")
    return str(Path(path))


def _of_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("file://?")
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise MediaError(f"'{url[:100]}' is no file: URL of this machine (file:scans/1.png, file:///data/scans/1.png)")
    return unquote(parts.path)


def missing(media: Media, path: str) -> str | None:
    """Why the file could not be sent now, in a sentence; it is not read whole for that. None if it could."""
    try:
        _kind_of(path, read_beneath(media, path, HEAD))
    except MediaError as error:
        return str(error)
    return None


def _kind_of(path: str, data: bytes) -> str:
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


def _shrunk(kind: str, data: bytes, path: str, media: Media) -> tuple[str, bytes]:
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
