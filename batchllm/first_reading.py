"""The first reading of a job, kept beside its results: a job that is the same, or only grew, is not read again from its start.

A convenience, never a truth: it holds only for the very bytes, settings and version it was made of, all compared by hash,
and any doubt means reading the job as if nothing had been kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Protocol

from batchllm import __version__
from batchllm.errors import ErrorCode
from batchllm.journal.index import JobIndex
from batchllm.journal.storage import Storage, whole_file
from batchllm.sources.job_file import JobFile
from batchllm.sources.raw_lines import BLOCK, UNREADABLE, open_job, unreadable
from batchllm.strictjson import canonical, loads
from batchllm.survey import Survey, survey
from batchllm.types import BadLine, Json, Request

NAME = "job.index"
LEAST_LINES = 20_000
"""Smaller jobs are read in a blink."""
PACE = frozenset(
    {"ca_file", "canary", "concurrency", "dedupe", "durability", "fresh", "max_concurrency", "max_cost", "max_runtime",
     "max_total_tokens", "metrics_file", "on_change", "on_finish", "on_finish_timeout", "ordered", "otel", "prefix_order",
     "proxy", "report", "retries", "retry_failed", "rpm", "serve_timeout", "strict", "timeouts", "tokenizer", "tpm",
     "transport", "until"}
)  # fmt: skip
"""Settings that say nothing of what a line means: under others the reading stays good."""


class Witness(Protocol):
    """Looks at every request as it is first read, and can say and be told what it saw."""

    def told(self) -> Json: ...

    def tell(self, told: Json) -> None: ...


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a file was read: bytes, line ends among them, the hash of just these bytes.

    `whole` says whether the last line has its line end; one that has not may still grow.
    """

    size: int
    lines: int
    sha256: str
    whole: bool


class FirstReading:
    """Reads a job, from where a kept reading ends, and keeps what it found. Blocking.

    `settings` and `terms` are all that a line's meaning depends on beside its bytes. `notices` gets a sentence where the
    reading cannot be kept: that costs the next run time and nothing else.
    """

    def __init__(
        self, job: JobFile, folder: Path, storage: Storage, settings: Json, terms: Json, least: int = LEAST_LINES
    ) -> None:
        self._job = job
        self._path = folder / NAME
        self._storage = storage
        meaning = {name: value for name, value in settings.items() if name not in PACE}
        said = canonical([__version__, sys.byteorder, meaning, terms])
        self._terms = blake2b(said, digest_size=16).hexdigest()
        self._least = least
        self.notices: list[str] = []
        self.sha256 = ""
        """The hash of the job's bytes, once it was read."""

    def read(
        self, limit: int | None, witnesses: Mapping[str, Witness], watch: Callable[[Request], None] | None = None
    ) -> Survey:
        """Every line of the job, or the first `limit`. Raises `JobError` (65) for a job that cannot be read."""
        before = self._stamp()
        header, found = (None, Survey()) if limit else self._kept(witnesses)
        known = Extent(**header["extent"]) if header else None
        extent, start = extent_of(self._job.path, known.size if known else 0)
        self.sha256 = extent.sha256
        if header is None or known is None or start != known.sha256 or not (known.whole or known.size == extent.size):
            found = survey(self._job, limit, watch)
        else:
            for name, witness in witnesses.items():
                witness.tell(header["told"][name])
            found = survey(self._job.since(known.lines, known.size), None, watch, found)
        if not limit and extent != known and found.total >= self._least and before == self._stamp():
            self._keep(found, extent, witnesses)
        return found

    def _stamp(self) -> tuple[int, int, int]:
        status = self._job.path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _kept(self, witnesses: Mapping[str, Witness]) -> tuple[Json | None, Survey]:
        """The header of the kept reading and what it found; None where there is none to be used."""
        try:
            with self._path.open("rb") as file:
                header = loads(file.readline())
                if header["terms"] != self._terms or not witnesses.keys() <= header["told"].keys():
                    return None, Survey()
                index = JobIndex.from_bytes(file.read, header["sizes"], header["check"])
            found = Survey(index, **{name: header[name] for name in ("requests", "bad_count", "last_line")})
            found.bad = [BadLine(line, name, ErrorCode(code), message) for line, name, code, message in header["bad"]]
            found.urls.update(header["urls"])
            found.models.update(header["models"])
            return header, found
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None, Survey()

    def _keep(self, found: Survey, extent: Extent, witnesses: Mapping[str, Witness]) -> None:
        header: dict[str, Any] = {
            "terms": self._terms, "extent": asdict(extent),
            "requests": found.requests, "bad_count": found.bad_count, "last_line": found.last_line,
            "bad": [[one.line, one.custom_id, one.code, one.message] for one in found.bad],
            "urls": dict(found.urls), "models": dict(found.models),
            "told": {name: witness.told() for name, witness in witnesses.items()},
            "sizes": found.index.sizes(), "check": found.index.check(),
        }  # fmt: skip
        try:
            with whole_file(self._storage, self._path) as take:
                take(canonical(header) + b"\n")
                for piece in found.index.pieces():
                    take(piece)
        except OSError as error:
            why = error.strerror or error
            self.notices.append(f"{self._path} could not be written ({why}): the next run reads the whole job again")


def extent_of(path: Path, at: int = 0) -> tuple[Extent, str]:
    """How far the file reaches, and the hash of its first `at` bytes ("" where it has not so many).

    Raises `JobError` (65) for a file that cannot be read to its end.
    """
    whole, start = sha256(), ""
    size = lines = 0
    block = b"\n"
    with open_job(path) as file:
        try:
            while read := file.read(min(BLOCK, at - size) if size < at else BLOCK):
                block = read
                whole.update(block)
                size += len(block)
                lines += block.count(b"\n")
                if size == at:
                    start = whole.hexdigest()
        except UNREADABLE as error:
            raise unreadable(path, lines, error) from None
    return Extent(size, lines, whole.hexdigest(), block.endswith(b"\n")), start
