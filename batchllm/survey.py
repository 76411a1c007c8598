"""The first reading of a job: every line once, before anything is sent, so that totals are known and bad lines told."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from batchllm.errors import ErrorCode
from batchllm.journal.index import JobIndex, State
from batchllm.sources.raw_lines import open_job
from batchllm.types import BadLine, Request

SHOWN = 10


@dataclass(slots=True)
class Survey:
    """What the first reading found. `bad` holds the first few bad lines; all of them are marked in `index`."""

    index: JobIndex = field(default_factory=JobIndex)
    requests: int = 0
    bad_count: int = 0
    bad: list[BadLine] = field(default_factory=list)
    urls: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    last_line: int = 0

    @property
    def total(self) -> int:
        return self.requests + self.bad_count


def survey(
    lines: Iterable[Request | BadLine],
    limit: int | None = None,
    watch: Callable[[Request], None] | None = None,
    found: Survey | None = None,
) -> Survey:
    """Read lines to the end. With `limit` only that many are part of the run; the rest is left alone. What was
    `found` before is added to.

    A `custom_id` seen before makes the later line a bad one, naming the earlier.
    """
    found = found or Survey()
    for one in lines:
        if limit is not None and found.total >= limit:
            break
        found.last_line = one.line
        bad = one if isinstance(one, BadLine) else _enter(found, one)
        if bad is not None:
            found.bad_count += 1
            if len(found.bad) < SHOWN:
                found.bad.append(bad)
            found.index.mark_invalid(bad.line)
        elif watch is not None and isinstance(one, Request):
            watch(one)
    return found


def _enter(found: Survey, request: Request) -> BadLine | None:
    earlier = found.index.add(request.line, request.custom_id, request.digest)
    if earlier:
        return duplicate(request, earlier)
    found.requests += 1
    found.urls[request.url] += 1
    model = request.body.get("model")
    if isinstance(model, str) and (model in found.models or len(found.models) < 100):
        found.models[model] += 1
    return None


def duplicate(request: Request, earlier: int) -> BadLine:
    return BadLine(
        request.line,
        request.custom_id,
        ErrorCode.DUPLICATE_CUSTOM_ID,
        f"custom_id '{request.custom_id[:60]}' is already taken by line {earlier}",
    )


def bad_lines(lines: Iterable[Request | BadLine], index: JobIndex) -> Iterable[BadLine]:
    """The bad lines of a job once more, in order, for `errors.jsonl`: they are not kept in memory between."""
    for one in lines:
        if one.line > index.last_line:
            return
        if index.state(one.line) is State.INVALID:
            yield one if isinstance(one, BadLine) else duplicate(one, index.find(one.custom_id))


def sha256(path: Path) -> str:
    """The hash of the job file as it lies on the disk."""
    digest = hashlib.sha256()
    with open_job(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
