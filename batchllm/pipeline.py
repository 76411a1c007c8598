"""The job on one page: read it once, take the folder, skip what is done, ask for the rest, say what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from batchllm.books import Books
from batchllm.budget import Budgets, budgets
from batchllm.derived import write_derived
from batchllm.endings import Endings
from batchllm.engines.engine import Engine, Forwarding, Means, name_of, refuse_unready
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import LineFeeder
from batchllm.engines.roster import Roster, roster_for
from batchllm.engines.warming import WarmingFeeder
from batchllm.errors import ExitCode, JobError
from batchllm.foretelling import Canary
from batchllm.journal.index import State
from batchllm.opening import Opened, Opening
from batchllm.pack import packed
from batchllm.parts import Parts
from batchllm.pending import Pending
from batchllm.records import Record, failure_line
from batchllm.reports.summary import earlier_series, summary
from batchllm.series import Point, Series, joined
from batchllm.sharing import shared
from batchllm.steps import Asked, Done, Finished
from batchllm.strictjson import dumps
from batchllm.survey import Survey
from batchllm.terminal import say_aside
from batchllm.throttle import Throttle
from batchllm.types import Json, Request

_AT_ONCE = frozenset({ExitCode.DISK, ExitCode.SIGINT, ExitCode.SIGTERM, ExitCode.SIGHUP})
"""Ends after which a run does nothing but what it must."""


class Run:
    """One run of one job: `prepare` (reads, repairs, refuses; sends nothing), `execute` (asks), `conclude` (writes the end).

    `tally`, `index` and `pool` are there to be looked at while it runs.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.books = Books(sampled=bool(parts.settings.canary))
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
        self._opened: Opened | None = None

    def prepare(self) -> Survey:
        """Take the folder, read the job and what earlier runs left. Blocking. Raises `JobError`; then nothing was sent."""
        refuse_unready(self.parts.settings)
        opened = self._opened = Opening(self.parts, self.books).take()
        self.survey = opened.survey
        self._lines = Pending(self.parts.job, opened)
        self.notices += opened.notices
        self.started = time.monotonic()
        return self.survey

    # -- asking ----------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        return self.survey.index.count(State.PENDING, State.RETRY)

    async def execute(self) -> None:
        """Ask for every pending line. Ends early only by `stop`, a cancel, or what `Endings` finds; see `ending`."""
        parts, settings, opened = self.parts, self.parts.settings, self._opened
        assert opened is not None
        self.survey.index.forget_places()  # nothing is looked up by its id while lines are asked
        loop = asyncio.get_running_loop()
        throttle = Throttle(
            settings.most_in_flight, loop.time(), rpm=settings.rpm, tpm=settings.tpm, auto=settings.concurrency == "auto"
        )
        whole = parts.deliver is not None or parts.watch.want_records
        outlet = Outlet(
            self._done, self._note, None if parts.deliver is None else self._deliver, answered=None if whole else self._answered
        )
        endings = Endings(settings.retries, parts.facts.endpoint, parts.key_hint)
        if name_of(settings) == "local":
            self.roster = roster_for(parts.route, throttle, endings, loop.time(), say_aside)
        async with parts.transport() as transport, shared(settings, throttle, say_aside):
            self.started = time.monotonic()
            means = Means(
                settings, parts.route, transport, throttle, outlet, endings, parts.jitter, self._budgets(), parts.folder,
                parts.storage, partial(self._lines.requests, again=True), self._durable, parts.elsewhere, self.roster, lambda: self.pending,
            )  # fmt: skip
            self.pool = parts.engine(means)
            self._sample()
            parts.watch.started(self)
            # The fsync thread reports from outside the loop.
            opened.journal.on_fault = lambda: _tell(loop, self._disk_failed)
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
        settings, lines = self.parts.settings, self._lines
        if isinstance(pool, Forwarding) and lines.plain and not (settings.pack > 1 or settings.prefix_order):
            await pool.forward(LineFeeder(lines.unread(among)))
            return
        requests = lines.requests(among)
        batches = packed(requests, settings.pack) if settings.pack > 1 else requests
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
        ending, opened = self.ending, self._opened
        assert opened is not None
        if ending is not None and ending.exit_code in _AT_ONCE:
            return
        batches = opened.duplicates.records(self.parts.job, self.survey.last_line)
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
        assert self._opened is not None
        self._opened.journal.force()
        return self._opened.journal.fault is None

    def _answered(self, answers: Sequence[Finished]) -> None:
        """Lines that other processes finished: all of them to the journal before any of them goes into the books."""
        assert self._opened is not None
        self._opened.journal.results([one.record for one in answers])
        index = self.survey.index
        for one in answers:
            index.set(one.line, State.DONE)
            if self._warming is not None:
                self._warming.answered(one.line)
        self.books.answered(answers)
        self._sample()
        self.parts.watch.answered(answers)

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
        assert self._opened is not None
        if record.ok:
            self._opened.journal.result(record.to_json())
            self.survey.index.set(record.line, State.DONE)
        else:
            self._opened.journal.attempt(failure_line(record))
            self.survey.index.set(record.line, State.FAILED)
        self.books.record(record, request.body.get("model"))

    def _note(self, note: Json, item: Asked) -> None:
        """An attempt that did not become a record: why, the wait, what it was billed; or a turn of a conversation."""
        assert self._opened is not None
        self._opened.journal.attempt(dumps(note) + b"\n")
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
        parts, opened = self.parts, self._opened
        assert opened is not None
        journal = opened.journal
        wall_s = time.monotonic() - self.started
        try:
            try:
                journal.settle()
            except JobError as fault:
                self.ending = fault
            command = self.canary.command(parts.facts.command)
            facts = replace(parts.facts, removed=opened.replayed.removed_count, command=command)
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
                write_derived(parts, opened, result)
            return result
        except OSError as error:
            self.ending = JobError(ExitCode.DISK, f"{parts.folder}: the disk failed: {error.strerror or error}")
            return summary(parts.facts, self.survey.index, self.tally, wall_s, self.ending, datetime.now(UTC))
        finally:
            journal.close()
            self.survey.index.forget_names()


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """At once where the loop itself has met the fault, so that nothing is admitted in between; from a thread by the loop."""
    if asyncio._get_running_loop() is loop:
        what()
    else:
        loop.call_soon_threadsafe(what)
