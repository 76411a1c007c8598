"""What a run does before anything is sent: it takes the folder, reads the job, and marks what earlier runs have done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batchllm.books import Books
from batchllm.duplicates import Duplicates
from batchllm.errors import ExitCode, JobError
from batchllm.first_reading import FirstReading, Witness
from batchllm.journal import manifest as job_json
from batchllm.journal.batches import refuse_forgetting
from batchllm.journal.fresh import move_aside
from batchllm.journal.index import State
from batchllm.journal.journal import Journal
from batchllm.journal.manifest import Manifest
from batchllm.journal.replay import Replay
from batchllm.parts import Parts
from batchllm.sources.raw_lines import open_job
from batchllm.survey import Survey
from batchllm.twins import Repeats
from batchllm.types import Json, Request
from batchllm.unbounded import Unbounded


@dataclass(frozen=True, slots=True)
class Opened:
    """A folder taken and a job read: `survey` says of each line where it stands, `journal` takes records from now on."""

    journal: Journal
    survey: Survey
    replayed: Replay
    duplicates: Duplicates
    notices: list[str]


class Opening:
    """Reads, repairs, refuses; sends nothing. Blocking."""

    def __init__(self, parts: Parts, books: Books) -> None:
        self._parts = parts
        self._books = books

    def take(self) -> Opened:
        """Raises `JobError`; then nothing was sent, and the folder is free again."""
        parts, settings = self._parts, self._parts.settings
        open_job(parts.job.path).close()
        if settings.fresh:
            refuse_forgetting(parts.folder, "a fresh run")
            move_aside(parts.folder, parts.storage)
        journal = Journal(parts.folder, parts.storage)
        try:
            before = job_json.read_manifest(parts.folder)
            if settings.lane == "live":
                refuse_forgetting(parts.folder, "asking for them live")
            reading, repeats = self._read()
            accepted = self._accepted(before)
            replayed = self._replay(frozenset(accepted))
            self._write_manifest(before, reading.sha256, accepted)
            notices = [*reading.notices, *journal.open(settings.durability)]
        except BaseException:
            journal.abandon()
            raise
        duplicates = Duplicates(
            self._survey.index, parts.folder, parts.route.settings_digest, parts.route.endpoint_for,
            dedupe=settings.dedupe, repeats=repeats,
        )  # fmt: skip
        if self._survey.index.count(State.PENDING, State.RETRY):
            notices += duplicates.notices()
        return Opened(journal, self._survey, replayed, duplicates, notices)

    # -- the job ---------------------------------------------------------------------------------------------------

    def _read(self) -> tuple[FirstReading, bool]:
        """The job, from where an earlier run's reading of it ends; and whether lines of it ask the same."""
        parts, settings = self._parts, self._parts.settings
        unbounded = Unbounded() if settings.max_cost is not None or settings.max_total_tokens is not None else None
        repeats = Repeats()
        witnesses: dict[str, Witness | None] = {"preflight": parts.preflight, "unbounded": unbounded, "repeats": repeats}
        named = settings.model_dump(mode="json", by_alias=True)
        reading = FirstReading(parts.job, parts.folder, parts.storage, named, parts.shaping)
        found = {name: witness for name, witness in witnesses.items() if witness is not None}
        self._survey = reading.read(settings.limit, found, _each(repeats, unbounded))
        self._refuse_unusable()
        if unbounded is not None:
            self._refuse_unbounded(unbounded)
        return reading, repeats.found

    def _refuse_unusable(self) -> None:
        found, path = self._survey, self._parts.job.path
        if not found.requests:
            why = f"line {found.bad[0].line}: {found.bad[0].message}" if found.bad else "it is empty"
            raise JobError(ExitCode.BAD_DATA, f"{path} has no usable line: {why}")
        if found.bad_count and self._parts.settings.strict:
            first = found.bad[0]
            raise JobError(
                ExitCode.BAD_DATA,
                f"{path}: {found.bad_count} bad lines, the first is line {first.line}: {first.message}; nothing was sent",
            )

    def _refuse_unbounded(self, unbounded: Unbounded) -> None:
        settings, prices = self._parts.settings, self._parts.route.prices
        models = {*self._survey.models, *([settings.escalate] if settings.escalate else [])}
        if settings.max_cost is not None:
            unbounded.refuse_unpriced(models, prices)
        unbounded.refuse_endless(
            "--max-cost" if settings.max_cost is not None else "--max-total-tokens", settings.assume_max_tokens
        )

    # -- what earlier runs left ------------------------------------------------------------------------------------

    def _accepted(self, before: Manifest | None) -> list[str]:
        """Digests of the settings whose results count now. Refuses changed settings where answers are at stake."""
        parts = self._parts
        digest = job_json.shaping_digest(parts.shaping)
        if before is None or digest in before.accepted or job_json.same_fleet(before.shaping, parts.shaping):
            return [digest, *(one for one in (before.accepted if before else ()) if one != digest)]
        decision = parts.settings.on_change
        if decision == "keep":
            return [digest, *before.accepted]
        if decision == "refuse" and _has_results(parts.folder):
            changed = ", ".join(job_json.changes(before.shaping, parts.shaping))
            raise JobError(
                ExitCode.BAD_DATA,
                f"{parts.folder} holds answers made with other settings: {changed}; "
                "--on-change rerun asks everything again, --on-change keep keeps them, -o names another folder",
            )
        return [digest]

    def _replay(self, accepted: frozenset[str]) -> Replay:
        """Mark what is done, and take into the books what it cost."""
        settings, index, books = self._parts.settings, self._survey.index, self._books
        replayed = Replay(
            index,
            accepted,
            retry_failed=settings.retry_failed,
            spent=self._earlier(accepted) if settings.canary else books.earlier,
            failed=books.failed_earlier,
        )
        replayed.read(self._parts.folder)
        books.tally.skipped = index.count(State.DONE, State.FAILED)
        return replayed

    def _earlier(self, accepted: frozenset[str]) -> Callable[[Json], None]:
        """Takes every record and note there is into the books, and the results that still count into their sample."""

        def earlier(record: Json) -> None:
            self._books.earlier(record)
            facts = record.get("batchllm")
            if isinstance(facts, dict) and "error" not in record and facts.get("settings") in accepted:
                self._books.answered_earlier(facts)

        return earlier

    def _write_manifest(self, before: Manifest | None, sha256: str, accepted: list[str]) -> None:
        """`job.json`, before the first request."""
        parts, found = self._parts, self._survey
        now = datetime.now(UTC).isoformat(timespec="seconds")
        Manifest(
            {"path": str(parts.job.path), "bytes": parts.job.path.stat().st_size, "sha256": sha256,
             "requests": found.requests, "bad_lines": found.bad_count},
            parts.shaping,
            parts.settings.model_dump(mode="json", by_alias=True, exclude_defaults=True) | self._reckoned_with(),
            tuple(accepted),
            parts.version,
            before.created if before else now,
            parts.route.provider.simulated,
        ).write(parts.storage, parts.folder)  # fmt: skip

    def _reckoned_with(self) -> Json:
        """The prices of this run and who told them: lists change."""
        priced = self._parts.priced
        return {} if priced is None else {"prices_used": priced(self._survey.models)}


def _each(repeats: Repeats, unbounded: Unbounded | None) -> Callable[[Request], None]:
    """Both look at each request."""
    if unbounded is None:
        return repeats

    def watch(request: Request) -> None:
        repeats(request)
        unbounded(request)

    return watch


def _has_results(folder: Path) -> bool:
    try:
        return (folder / "results.jsonl").stat().st_size > 0
    except OSError:
        return False
