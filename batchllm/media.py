"""Local images and audio in a request: which there are, and their bytes as the endpoint takes them.

A part of a message names a file by a `file:` URL or a relative path:

    {"type": "image_url", "image_url": {"url": "scans/17.png"}}          also "audio_url" (vLLM), "input_image" (responses)
    {"type": "input_audio", "input_audio": {"data": "calls/17.wav"}}

`http(s):`, `data:` and every other scheme pass through untouched; nothing is ever fetched. A file is read when the line is
sent, beneath one folder and never through a symbolic link, and is not kept.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from batchllm.media_files import Media, MediaError, kind_of, read_beneath, shrunk
from batchllm.strictjson import dumps
from batchllm.types import Json

LONGEST_PATH = 1024
"""A longer text without a scheme is no path but bare base64, which some servers take."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


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
            kind = kind_of(path, data)
            facts.append({"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
            known[path] = shrunk(kind, data, path, media)
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
