"""What has been shipped of a run: the segments of its journal, in order, with their sizes and hashes. Pure.

The listing is one object, written after the segments that it names: what it does not name was never shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256

import orjson
from pydantic import TypeAdapter, ValidationError

from batchllm.types import Json

NAME = "run.json"
VERSION = 1
SHIPPED = ("results.jsonl", "attempts.jsonl")
"""The append-only files of a journal: all that a run needs to go on."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of whole lines. It begins where the one before it ends."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Listing:
    """`owner` is the folder that ships, `series` a part of its segments' names that nothing else has; `job` is the text of its
    `job.json`; `complete` says that its last run came to its end and all of it is here."""

    owner: str
    series: str
    host: str
    at: str
    job: str = ""
    files: Mapping[str, tuple[Segment, ...]] = field(default_factory=dict)
    complete: bool = False
    version: int = VERSION

    def shipped(self, file: str) -> int:
        """Bytes of this file that are there."""
        return sum(one.bytes for one in self.files.get(file, ()))

    def next_name(self, file: str) -> str:
        """A name nobody has used."""
        number = len(self.files.get(file, ())) + 1
        return f"segments/{self.series}/{file.removesuffix('.jsonl')}-{number:06}.jsonl"

    def with_segment(self, file: str, segment: Segment) -> Listing:
        return replace(self, files={**self.files, file: (*self.files.get(file, ()), segment)})

    def to_bytes(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2) + b"\n"


_READER = TypeAdapter(Listing)


def listing_of(data: bytes) -> Listing:
    """Raises ValueError for what is no listing, or one of a later version."""
    try:
        raw: Json = orjson.loads(data)
        if isinstance(raw, dict) and raw.get("version", VERSION) > VERSION:
            raise ValueError(f"it is of version {raw['version']}, this batchllm knows {VERSION}")
        found = _READER.validate_python(raw)
    except (orjson.JSONDecodeError, ValidationError, TypeError):
        raise ValueError("it is no listing of a run") from None
    if not set(found.files) <= set(SHIPPED):
        raise ValueError("it names files that are none of a journal")
    return found


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()
