"""`results.superseded.jsonl`: answers that a later one has taken the place of. Paid for, so kept and counted, but no results."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from batchllm.sources.raw_lines import raw_lines
from batchllm.strictjson import loads
from batchllm.types import Json

NAME = "results.superseded.jsonl"
MAX_RECORD = 1 << 30


def mark(raw: bytes) -> bytes:
    """Eight bytes that tell one record line from another."""
    return blake2b(raw, digest_size=8).digest()


def superseded(folder: Path) -> Iterator[tuple[bytes, Json]]:
    """The mark of each record moved aside, and the record; each once, none if there is no such file.

    A crash between moving a record and leaving it out of the results leaves it in both: by its mark it is told there.
    """
    path = folder / NAME
    if not path.exists():
        return
    met: set[bytes] = set()
    for _, raw in raw_lines(path, MAX_RECORD):
        if isinstance(raw, bytes) and raw and mark(raw) not in met:
            met.add(mark(raw))
            try:
                record = loads(raw)
            except ValueError:
                continue  # a torn tail: the record itself is still among the results
            if isinstance(record, dict):
                yield mark(raw), record
