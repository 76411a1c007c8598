"""A batch that is over: its files fetched, each line judged like a live reply, what is left put down for a batch to follow.

The order is what makes a kill harmless at every step: the files first, whole; then records and notes; then, forced to
disk, the follow-ups; and only then the word that the batch is applied. Done again, it skips what has its record and does
not repeat a note.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from batchllm.billing import cost_usd
from batchllm.engines.batch_lane.files import AGAIN, ERROR, OUTPUT, BatchFiles, History
from batchllm.engines.batch_lane.patience import Patience, Stopped
from batchllm.engines.batch_lane.prices import BatchPrices
from batchllm.engines.batch_lane.remote import RemoteError, Seen
from batchllm.engines.batch_lane.returns import MISSING, Returned, rejected, returned
from batchllm.engines.batch_lane.sheets import in_a_batch, line_id, read_ids
from batchllm.engines.batch_lane.spool import Spool, TornError
from batchllm.engines.engine import Means
from batchllm.errors import ErrorCode, JobError
from batchllm.item import Item
from batchllm.journal.batches import BatchState
from batchllm.journal.journal import ATTEMPTS
from batchllm.journal.replay import records
from batchllm.journal.storage import whole_file
from batchllm.route import Route
from batchllm.steps import Again, Done, Halt, Step
from batchllm.strictjson import dumps
from batchllm.types import Json, Kind, Request, Verdict


@dataclass(slots=True)
class Outcome:
    """What a batch came to, in lines and US dollars; `live_usd` is what its answers would have cost live."""

    answered: int = 0
    failed: int = 0
    again: int = 0
    never_begun: int = 0
    missing: int = 0
    cost_usd: float = 0.0
    cost_known: bool = True
    live_usd: float = 0.0
    tokens: float = 0.0
    ending: JobError | None = None

    def facts(self) -> Json:
        return {
            "answered": self.answered,
            "failed": self.failed,
            "again": self.again,
            "never_begun": self.never_begun,
            "missing": self.missing,
            "cost_usd": round(self.cost_usd, 9) if self.cost_known else None,
            "live_usd": round(self.live_usd, 9) if self.cost_known else None,
        }


@dataclass(slots=True)
class Application:
    """Applies batches of one run. `noted` are lines whose note an earlier, unfinished application of the batch has written,
    `failed` those whose failed record it has; `job` tells whether the job is still the same file.
    """

    means: Means
    route: Route
    files: BatchFiles
    patience: Patience
    job: str
    noted: dict[str, set[int]] = field(default_factory=dict)
    failed: dict[str, set[int]] = field(default_factory=dict)

    def read_notes(self, tags: frozenset[str]) -> None:
        """Which lines have a note or a failed record from one of these batches already. Blocking."""
        if not tags:
            return
        for _, note in records(self.means.folder / ATTEMPTS):
            record, line = note.get("record"), note.get("line")
            facts = record.get("batchllm") if isinstance(record, dict) else note
            tag = facts.get("batch") if isinstance(facts, dict) else None
            if tag in tags and isinstance(line, int):
                (self.noted if record is None else self.failed).setdefault(str(tag), set()).add(line)

    # -- judging ---------------------------------------------------------------------------------------------------

    async def apply(self, state: BatchState, seen: Seen) -> Outcome:
        """Fetch the files; records, notes and follow-ups of every line. Raises `Stopped`, and `RemoteError`."""
        await self.files.fetch(state, seen)
        ids = await asyncio.to_thread(read_ids, self.means.folder, state.tag)
        bad = {ids[one.line - 1]: rejected(one) for one in seen.faults if one.line is not None and 0 < one.line <= len(ids)}
        outcome = Outcome()
        async with self.files.histories(state) as before:
            try:
                async with self.files.answers(state) as spools:
                    await self._judge(state, seen, frozenset(ids), spools, bad, History(before), outcome)
            except TornError as torn:
                self.files.remove(state, OUTPUT, ERROR)
                verdict = Verdict(Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE, f"{torn}; it is fetched again by the next run")
                raise RemoteError(verdict) from None
        return outcome

    async def _judge(
        self, state: BatchState, seen: Seen, ids: frozenset[str], spools: list[Spool], bad: dict[str, Returned],
        history: History, outcome: Outcome,
    ) -> None:  # fmt: skip
        latency_s = max(0.0, time.time() - datetime.fromisoformat(state.submitted["at"]).timestamp())
        writing = whole_file(self.means.storage, self.files.path(state.tag, AGAIN))
        put = await asyncio.to_thread(writing.__enter__)
        try:
            async for request in self._requests(state, ids):
                known = line_id(request)
                came = _came(known, seen, spools, bad)
                self._line(state, request, came, history.of(known), latency_s, outcome, put)
        except BaseException as error:
            writing.__exit__(type(error), error, error.__traceback__)
            raise
        await asyncio.to_thread(writing.__exit__, None, None, None)

    async def _requests(self, state: BatchState, ids: frozenset[str]) -> AsyncIterator[Request]:
        """The batch's lines that have no record yet, read from the job as it is now."""
        async for batch in self.read(state, ids):
            for request in batch:
                yield request
            if self.patience.stopped:
                raise Stopped

    async def read(self, state: BatchState, ids: frozenset[str]) -> AsyncIterator[list[Request]]:
        """Lines with one of these ids. Where the job is the file it was, only the batch's own lines are looked at."""
        lines = self.means.lines(Among(state.submitted.get("lines") if state.submitted.get("job") == self.job else None))
        while (batch := await asyncio.to_thread(next, lines, None)) is not None:
            yield [in_a_batch(one) for one in batch if line_id(one) in ids]

    def _line(
        self, state: BatchState, request: Request, came: Returned | None, before: list[Returned], latency_s: float,
        outcome: Outcome, put: Callable[[bytes], None],
    ) -> None:  # fmt: skip
        if came is None or request.line in self.failed.get(state.tag, ()):
            # What has failed in a way that may pass is asked anew: its record has used up the replies before.
            outcome.never_begun += came is None
            outcome.again += 1
            put(self._follow_up(request, before if came is None else []))
            return
        outcome.missing += came is MISSING
        item = self.item(request, before)
        now = asyncio.get_running_loop().time()
        step = marked(came.judged(item, now, latency_s), state.tag, self._assumed(request))
        self._charge(item, step, outcome)
        if isinstance(step, Done):
            self.means.outlet.done(step, item)
            outcome.answered += step.record.ok
            outcome.failed += not step.record.ok
            self._may_end(item, step, now, outcome)
            return
        if request.line not in self.noted.get(state.tag, ()):
            self.means.outlet.note(step.note, item)
        if isinstance(step, Halt):
            self._may_end(item, step, now, outcome)
        outcome.again += 1
        put(self._follow_up(request, [*before, came]))

    def item(self, request: Request, before: list[Returned]) -> Item:
        """The line as it stands after the replies it has had: they are judged once more, which changes nothing else."""
        item = Item(self.route, request)
        now = asyncio.get_running_loop().time()
        for one in before:
            one.judged(item, now, 0.0)
        return item

    def _follow_up(self, request: Request, replies: list[Returned]) -> bytes:
        line = {"id": line_id(request), "line": request.line, "replies": [one.as_json() for one in replies]}
        return self.route.redactor.bytes(dumps(line)) + b"\n"

    def _charge(self, item: Item, step: Step, outcome: Outcome) -> None:
        last, body = item.last, item.body
        tokens, usd = last.tokens, last.usd
        outcome.tokens += tokens if tokens is not None else (last.worst.tokens or 0.0) if last.worst else 0.0
        if last.billed == "no":
            return
        if usd is None:
            outcome.cost_known = False
            return
        model = step.record.facts.get("model") if isinstance(step, Done) else None
        outcome.cost_usd += usd
        outcome.live_usd += cost_usd(last.usage, self.means.route.prices(model or "", body.get("model", ""))) or 0.0

    def _may_end(self, item: Item, step: Step, now: float, outcome: Outcome) -> None:
        ending = self.means.endings.after(step, item, self.means.throttle, now)
        outcome.ending = outcome.ending or ending

    def tidy(self, state: BatchState, outcome: Outcome) -> None:
        """Remove what an applied batch needs no more; of a job that has changed, answers may have found no line: they stay."""
        if state.submitted.get("job") == self.job:
            self.files.remove(state, OUTPUT, ERROR)
        if not outcome.again:
            self.files.remove(state, AGAIN)

    def _assumed(self, request: Request) -> float | None:
        prices = self.route.prices
        assert isinstance(prices, BatchPrices)
        return prices.assumed(request.body.get("model", ""))


class Among:
    """Whether a line is in one of these ranges; every line, where there are none."""

    def __init__(self, ranges: list[list[int]] | None) -> None:
        self._ranges = ranges
        self._at = 0

    def __call__(self, line: int) -> bool:
        """Asked for ascending lines: each range is looked at once."""
        ranges = self._ranges
        if ranges is None:
            return True
        while self._at < len(ranges) and ranges[self._at][1] < line:
            self._at += 1
        return self._at < len(ranges) and ranges[self._at][0] <= line


def _came(known: str, seen: Seen, spools: list[Spool], bad: dict[str, Returned]) -> Returned | None:
    """What came of one line of a batch; None where it was never begun.

    A file of errors names what an expired batch did not begin: a line it does not name may have been answered and billed.
    """
    if known in bad:
        return bad[known]
    for spool in spools:
        line = spool.get(known)
        if line is not None:
            return returned(line)
    return MISSING if seen.status == "completed" or seen.error_file_id is not None else None


def marked(step: Step, tag: str, assumed: float | None) -> Step:
    """The step with a word on the batch it came from, and on a price that was assumed."""
    if isinstance(step, Done):
        facts = {**step.record.facts, "lane": "batch", "batch": tag}
        if assumed is not None:
            facts["price_assumed"] = assumed
        return replace(step, record=replace(step.record, facts=facts))
    assert isinstance(step, Again | Halt)
    return replace(step, note={**step.note, "lane": "batch", "batch": tag})
