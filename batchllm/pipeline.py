"""The job on one page: read it once, take the folder, skip what is done, ask for the rest, say what came of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from batchllm.books import Books
from batchllm.budget import Budgets, budgets
from batchllm.duplicates import Duplicates
from batchllm.endings import Endings
from batchllm.engines.engine import Elsewhere, Engine, Means, engine, name_of
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import LineFeeder
from batchllm.engines.roster import Roster, roster_for
from batchllm.engines.warming import WarmingFeeder
from batchllm.errors import ExitCode, JobError
from batchllm.first_reading import FirstReading, Watcher
from batchllm.foretelling import Canary
from batchllm.journal import manifest as job_json
from batchllm.journal.batches import refuse_forgetting
from batchllm.journal.compaction import compact
from batchllm.journal.errors_file import write_errors
from batchllm.journal.fresh import move_aside
from batchllm.journal.index import State
from batchllm.journal.journal import Journal
from batchllm.journal.replay import Replay
from batchllm.journal.storage import Storage, write_whole
from batchllm.pack import packed
from batchllm.preflight import Preflight
from batchllm.protocols import Transport
from batchllm.records import Record, failure_line
from batchllm.reports.summary import Facts, earlier_series, summary
from batchllm.route import Route
from batchllm.series import Point, Series, joined
from batchllm.settings import Settings
from batchllm.sinks.ordered import write_ordered
from batchllm.sources.job_file import JobFile
from batchllm.sources.raw_lines import open_job
from batchllm.steps import Asked, Done
from batchllm.strictjson import dumps
from batchllm.survey import Survey, bad_lines
from batchllm.terminal import say_aside
from batchllm.throttle import Throttle
from batchllm.twins import Repeats
from batchllm.types import Json, Request
from batchllm.unbounded import Unbounded
from batchllm.watching import Watchers

_AT_ONCE = frozenset({ExitCode.DISK, ExitCode.SIGINT, ExitCode.SIGTERM, ExitCode.SIGHUP})
"""Ends after which a run does nothing but what it must."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a run is made of, put together by `assembly`."""

    settings: Settings
    job: JobFile
    folder: Path
    route: Route
    shaping: Json
    transport: Callable[[], Transport]
    facts: Facts
    version: str
    key_hint: str = ""
    preflight: Preflight | None = None
    storage: Storage = Storage()  # noqa: RUF009 - it holds no state
    jitter: Callable[[], float] = random.random
    deliver: Callable[[Record], Awaitable[None]] | None = None
    priced: Callable[[Iterable[str]], Json] | None = None
    watch: Watchers = Watchers()  # noqa: RUF009 - nobody looks on
    engine: Callable[[Means], Engine] = engine
    elsewhere: Elsewhere | None = None


class Run:
    """One run of one job: `prepare` (reads, repairs, refuses; sends nothing), `execute` (asks), `conclude` (writes the end).

    `tally`, `index` and `pool` are there to be looked at while it runs.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.books = Books()
        self.tally = self.books.tally
        self.canary = Canary(parts.settings, self.books)
        self.series = Series()
        self.pool: Engine | None = None
        self.roster: Roster | None = None
        self.notices: list[str] = []
        self.born = self.started = time.monotonic()
        self.ending: JobError | None = None
        self.drain: Callable[[JobError], None] = self.stop
        """Ends the run as the first signal does; bounded in time where the run is supervised."""
        self._warming: WarmingFeeder | None = None
        self._manifest: job_json.Manifest | None = None
        self._replayed: Replay | None = None
        self._journal: Journal | None = None

    # -- before anything is sent ---------------------------------------------------------------------------------

    def prepare(self) -> Survey:
        """Take the folder, read the job and what earlier runs left. Blocking. Raises `JobError`; then nothing was sent."""
        parts = self.parts
        open_job(parts.job.path).close()
        if parts.settings.fresh:
            refuse_forgetting(parts.folder, "a fresh run")
            move_aside(parts.folder, parts.storage)
        self._journal = Journal(parts.folder, parts.storage)
        try:
            self._manifest = job_json.read_manifest(parts.folder)
            if parts.settings.lane == "live":
                refuse_forgetting(parts.folder, "asking for them live")
            unbounded = Unbounded() if _limited(parts.settings) else None
            self._read(unbounded)
            self._refuse_unusable()
            if unbounded is not None:
                self._refuse_unbounded(unbounded)
            self._resume()
            self.notices += self._journal.open(parts.settings.durability)
        except BaseException:
            self._journal.abandon()
            raise
        self.started = time.monotonic()
        return self.survey

    def _read(self, unbounded: Unbounded | None) -> None:
        """The job, from where an earlier run's reading of it ends."""
        parts, settings = self.parts, self.parts.settings
        repeats = Repeats()
        watchers: dict[str, Watcher | None] = {"preflight": parts.preflight, "unbounded": unbounded, "repeats": repeats}
        named = settings.model_dump(mode="json", by_alias=True)
        self._reading = FirstReading(parts.job, parts.folder, parts.storage, named, parts.shaping)
        found = {name: watcher for name, watcher in watchers.items() if watcher is not None}
        self.survey = self._reading.read(settings.limit, found, _each(repeats, unbounded))
        self.notices += self._reading.notices
        self._repeats = repeats.found

    def _refuse_unbounded(self, unbounded: Unbounded) -> None:
        settings, prices = self.parts.settings, self.parts.route.prices
        models = {*self.survey.models, *([settings.escalate] if settings.escalate else [])}
        if settings.max_cost is not None:
            unbounded.refuse_unpriced(models, prices)
        unbounded.refuse_endless("--max-cost" if settings.max_cost is not None else "--max-total-tokens", settings.assume_max_tokens)

    def _refuse_unusable(self) -> None:
        found, path = self.survey, self.parts.job.path
        if not found.requests:
            why = f"line {found.bad[0].line}: {found.bad[0].message}" if found.bad else "it is empty"
            raise JobError(ExitCode.BAD_DATA, f"{path} has no usable line: {why}")
        if found.bad_count and self.parts.settings.strict:
            first = found.bad[0]
            raise JobError(
                ExitCode.BAD_DATA,
                f"{path}: {found.bad_count} bad lines, the first is line {first.line}: {first.message}; nothing was sent",
            )

    def _resume(self) -> None:
        """Mark what is done, under settings that are the same or accepted; write `job.json` before the first request."""
        parts, settings = self.parts, self.parts.settings
        digest = job_json.shaping_digest(parts.shaping)
        accepted = self._accepted(digest)
        self._replayed = Replay(
            self.survey.index,
            frozenset(accepted),
            retry_failed=settings.retry_failed,
            spent=self._earlier(frozenset(accepted)) if settings.canary else self.books.earlier,
            failed=self.books.failed_earlier,
        )
        self._replayed.read(parts.folder)
        self._duplicates = Duplicates(
            self.survey.index, parts.folder, parts.route.settings_digest, parts.route.endpoint_for,
            dedupe=settings.dedupe, repeats=self._repeats,
        )  # fmt: skip
        self.tally.skipped = self.survey.index.count(State.DONE, State.FAILED)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        job_json.Manifest(
            {"path": str(parts.job.path), "bytes": parts.job.path.stat().st_size, "sha256": self._reading.sha256,
             "requests": self.survey.requests, "bad_lines": self.survey.bad_count},
            parts.shaping,
            settings.model_dump(mode="json", by_alias=True, exclude_defaults=True) | self._reckoned_with(),
            tuple(accepted),
            parts.version,
            self._manifest.created if self._manifest else now,
            parts.route.provider.simulated,
        ).write(parts.storage, parts.folder)  # fmt: skip

    def _earlier(self, accepted: frozenset[str]) -> Callable[[Json], None]:
        """Takes every record and note there is into the books, and the results that still count into their sample."""

        def earlier(record: Json) -> None:
            self.books.earlier(record)
            facts = record.get("batchllm")
            if isinstance(facts, dict) and "error" not in record and facts.get("settings") in accepted:
                self.books.answered_earlier(facts)

        return earlier

    def _reckoned_with(self) -> Json:
        """The prices of this run and who told them: lists change."""
        priced = self.parts.priced
        return {} if priced is None else {"prices_used": priced(self.survey.models)}

    def _accepted(self, digest: str) -> list[str]:
        """Digests of the settings whose results count now. Refuses changed settings where answers are at stake."""
        old = self._manifest
        if old is None or digest in old.accepted or job_json.same_fleet(old.shaping, self.parts.shaping):
            return [digest, *(one for one in (old.accepted if old else ()) if one != digest)]
        decision = self.parts.settings.on_change
        if decision == "keep":
            return [digest, *old.accepted]
        if decision == "refuse" and _has_results(self.parts.folder):
            changed = ", ".join(job_json.changes(old.shaping, self.parts.shaping))
            raise JobError(
                ExitCode.BAD_DATA,
                f"{self.parts.folder} holds answers made with other settings: {changed}; "
                "--on-change rerun asks everything again, --on-change keep keeps them, -o names another folder",
            )
        return [digest]

    # -- asking ----------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        return self.survey.index.count(State.PENDING, State.RETRY)

    async def execute(self) -> None:
        """Ask for every pending line. Ends early only by `stop`, a cancel, or what `Endings` finds; see `ending`."""
        parts, settings, journal = self.parts, self.parts.settings, self._journal
        assert journal is not None
        loop = asyncio.get_running_loop()
        throttle = Throttle(
            settings.most_in_flight, loop.time(), rpm=settings.rpm, tpm=settings.tpm, auto=settings.concurrency == "auto"
        )
        outlet = Outlet(self._done, self._note, None if parts.deliver is None else self._deliver)
        endings = Endings(settings.retries, parts.facts.endpoint, parts.key_hint)
        if name_of(settings) == "local":
            self.roster = roster_for(parts.route, throttle, endings, loop.time(), say_aside)
        async with parts.transport() as transport:
            self.started = time.monotonic()
            means = Means(
                settings, parts.route, transport, throttle, outlet, endings, parts.jitter, self._budgets(), parts.folder,
                parts.storage, self._read_again, self._durable, parts.elsewhere, self.roster, lambda: self.pending,
            )  # fmt: skip
            self.pool = parts.engine(means)
            self._sample()
            parts.watch.started(self)
            # The fsync thread reports from outside the loop.
            journal.on_fault = lambda: _tell(loop, self._disk_failed)
            try:
                if settings.canary:
                    await self._ask_first(self.pool)
                    self.pool = parts.engine(means)
                if self.ending is None:
                    await self._ask(self.pool)
            except JobError as ending:
                self.ending = self.ending or ending
        await self._answer_duplicates()

    async def _ask(self, pool: Engine, among: Callable[[int], bool] | None = None) -> None:
        settings, lines = self.parts.settings, self._pending_batches(among)
        batches = packed(lines, settings.pack) if settings.pack > 1 else lines
        self._warming = WarmingFeeder(batches) if settings.prefix_order else None
        await pool.run(self._warming or LineFeeder(batches))

    async def _ask_first(self, pool: Engine) -> None:
        """The canary's lines, and what follows from them. Raises the `JobError` that keeps the rest from being asked."""
        first = self.canary.lines(self.survey.index, self.survey.last_line, self.pending)
        if first:
            await self._ask(pool, first.__contains__)
        if not self.pending or self.ending is not None:
            return
        try:
            await self.canary.judge(self.pending)
        except asyncio.CancelledError:
            if self.ending is None:  # else a stop has ended the question
                raise

    def _budgets(self) -> Budgets:
        """What there is to spend, less what earlier runs took: where nobody told how much, the most it may have been."""
        settings, tally = self.parts.settings, self.tally
        usd, tokens = tally.cost_usd + tally.at_most_usd, tally.tokens + tally.at_most_tokens
        return budgets(settings.max_cost, settings.max_total_tokens, usd, tokens)

    async def _answer_duplicates(self) -> None:
        """The lines that ask the same as one that is answered or has failed: its record is theirs, without a request.

        Not where somebody waits for the end, or the disk has failed: the next run does it at no cost.
        """
        ending = self.ending
        if ending is not None and ending.exit_code in _AT_ONCE:
            return
        batches = self._duplicates.records(self.parts.job, self.survey.last_line)
        while self.ending is ending and (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for record, request in batch:
                if self.ending is not ending:
                    return
                self._keep(record, request)
                self.tally.duplicates += record.ok
                if self.parts.deliver is not None:
                    await self.parts.deliver(record)
            self._sample()

    def stop(self, ending: JobError) -> None:
        """Begin nothing new and let what is in flight finish."""
        self.ending = self.ending or ending
        self.canary.stop()
        if self.pool is not None:
            self.pool.stop(ending)

    def _disk_failed(self) -> None:
        self.stop(JobError(ExitCode.DISK, "the disk failed"))

    def _durable(self) -> bool:
        assert self._journal is not None
        self._journal.force()
        return self._journal.fault is None

    def _read_again(self, among: Callable[[int], bool]) -> Iterator[list[Request]]:
        """Lines that have been handed out before, for an engine that does not hold them."""
        return self._pending_batches(among, again=True)

    def _pending_batches(self, among: Callable[[int], bool] | None = None, *, again: bool = False) -> Iterator[list[Request]]:
        index = self.survey.index
        wanted = index.wanted if among is None else lambda line: index.wanted(line) and among(line)
        for batch in self.parts.job.pending(wanted, self.survey.last_line):
            for request in batch:
                if not index.same(request.line, request.digest):
                    raise JobError(ExitCode.BAD_DATA, f"{self.parts.job.path}: line {request.line} was changed during the run")
            if not again:
                batch = self._duplicates.sent(batch)
            yield self._taken_up(batch) if self._replayed and self._replayed.begun else batch

    def _taken_up(self, batch: list[Request]) -> list[Request]:
        """The requests, conversations with the turns that earlier runs finished."""
        assert self._replayed is not None
        begun = self._replayed.begun
        made = []
        for one in batch:
            if one.extras is not None and one.line in begun:
                one = replace(one, extras=replace(one.extras, begun=tuple(begun.pop(one.line))))
            made.append(one)
        return made

    def _done(self, step: Done, item: Asked) -> None:
        """What one request came to, usually one line's record: to the journal first and only then into the books."""
        for one in step.records:
            self._keep(one, item.request)
        self.books.done(step, item)
        if self._warming is not None:
            self._warming.answered(item.request.line)
        self._sample()
        self.parts.watch.step(step, item)

    def _keep(self, record: Record, request: Request) -> None:
        assert self._journal is not None
        if record.ok:
            self._journal.result(record.to_json())
            self.survey.index.set(record.line, State.DONE)
        else:
            self._journal.attempt(failure_line(record))
            self.survey.index.set(record.line, State.FAILED)
        self.books.record(record, request.body.get("model"))

    def _note(self, note: Json, item: Asked) -> None:
        """An attempt that did not become a record: why, the wait, what it was billed; or a turn of a conversation."""
        assert self._journal is not None
        self._journal.attempt(dumps(note) + b"\n")
        self.books.note(note)
        self._sample()
        self.parts.watch.step(note, item)

    def _sample(self, *, last: bool = False) -> None:
        """A point of the series where one is due: how the run went is drawn from these."""
        t = time.monotonic() - self.started
        if (last or self.series.due(t)) and self.pool is not None:
            tally, limiter = self.tally, self.pool.throttle.limiter
            tokens, refused = tally.tokens, tally.retries["rate_limited"]
            self.series.add(Point(t, tally.done, tally.failed, tokens, refused, limiter.in_flight, limiter.limit))

    async def _deliver(self, step: Done) -> None:
        assert self.parts.deliver is not None
        for record in step.records:
            await self.parts.deliver(record)

    # -- the end ---------------------------------------------------------------------------------------------------

    def conclude(self) -> Json:
        """Settle the journal and write `errors.jsonl` and `summary.json`, however the run ended. Blocking."""
        parts, journal = self.parts, self._journal
        assert journal is not None
        assert self._replayed is not None
        wall_s = time.monotonic() - self.started
        try:
            try:
                journal.settle()
            except JobError as fault:
                self.ending = fault
            command = self.canary.command(parts.facts.command)
            facts = replace(parts.facts, removed=self._replayed.removed_count, command=command)
            now = datetime.now(UTC)
            result = summary(facts, self.survey.index, self.tally, wall_s, self.ending, now)
            if self.canary.forecast is not None:
                result["canary"] = self.canary.forecast.as_json()
            if self.roster is not None:
                result["endpoints"] = self.roster.as_json()
            self._sample(last=True)
            result |= self.pool.figures() if self.pool is not None else {}
            began = (now - timedelta(seconds=wall_s)).isoformat(timespec="seconds")
            result["series"] = joined(earlier_series(parts.folder), self.series.as_json(began))
            if journal.fault is None:
                self._derive(result)
            return result
        except OSError as error:
            self.ending = JobError(ExitCode.DISK, f"{parts.folder}: the disk failed: {error.strerror or error}")
            return summary(parts.facts, self.survey.index, self.tally, wall_s, self.ending, datetime.now(UTC))
        finally:
            journal.close()

    def _derive(self, result: Json) -> None:
        parts, index = self.parts, self.survey.index
        replayed = self._replayed
        assert replayed is not None
        if (replayed.superseded or replayed.changed) and not self.pending:
            compact(parts.storage, parts.folder, index, lambda line, record: True)
        bad = bad_lines(parts.job, index) if index.count(State.INVALID) else ()
        write_errors(parts.storage, parts.folder, index, bad)
        if parts.settings.ordered:
            write_ordered(parts.storage, parts.folder, index)
        write_whole(parts.storage, parts.folder / "summary.json", _indented(result))


def _each(repeats: Repeats, unbounded: Unbounded | None) -> Callable[[Request], None]:
    """Both look at each request."""
    if unbounded is None:
        return repeats

    def watch(request: Request) -> None:
        repeats(request)
        unbounded(request)

    return watch


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """At once where the loop itself has met the fault, so that nothing is admitted in between; from a thread by the loop."""
    if asyncio._get_running_loop() is loop:
        what()
    else:
        loop.call_soon_threadsafe(what)


def _indented(value: Json) -> bytes:
    """A summary for people to read: its series, hundreds of numbers, on a line each."""
    series = [orjson.Fragment(orjson.dumps(one)) for one in value.get("series", ())]
    try:
        return orjson.dumps(value | {"series": series}, option=orjson.OPT_INDENT_2) + b"\n"
    except TypeError:  # half a surrogate pair in somebody's message
        return dumps(value) + b"\n"


def _limited(settings: Settings) -> bool:
    return settings.max_cost is not None or settings.max_total_tokens is not None


def _has_results(folder: Path) -> bool:
    try:
        return (folder / "results.jsonl").stat().st_size > 0
    except OSError:
        return False
