"""The engine: batches submitted, looked after with patience, and applied; one thing after the other.

Everything it does can be cut off: what was submitted stands in `batches.jsonl` before its creation, and the next run goes
on from there. Nothing waits for the provider without being written down first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from batchllm.classify import classify
from batchllm.engines.batch_lane.apis import MakesApi, api_for
from batchllm.engines.batch_lane.application import Application, Outcome
from batchllm.engines.batch_lane.files import BatchFiles
from batchllm.engines.batch_lane.patience import Patience, Stopped
from batchllm.engines.batch_lane.prices import BatchPrices
from batchllm.engines.batch_lane.register import Register, Watch, as_ended
from batchllm.engines.batch_lane.remote import BatchApi, RemoteError, Seen
from batchllm.engines.batch_lane.returns import OVER, as_error_body, files_due, queue_is_full, word
from batchllm.engines.batch_lane.sheets import Sheets, read_ids
from batchllm.engines.batch_lane.submission import Submission
from batchllm.engines.batch_lane.supply import Supply
from batchllm.engines.batch_lane.timing import next_pause
from batchllm.engines.engine import Means
from batchllm.engines.feed import Feeder
from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.journal.batches import BatchState
from batchllm.journal.manifest import read_manifest
from batchllm.providers.batch_services import Service, service_of
from batchllm.strictjson import loads
from batchllm.throttle import Throttle
from batchllm.types import Json, Kind, Reply, Verdict

BARREN = 3
"""So many batches in a row without one answer, and the run ends: the next ones would not fare better."""
LATE_S = 30.0
"""Between two looks at a batch that is over and has yet to name its files."""


class BatchLane:
    """Runs a job through the provider's Batch API.

    `stop` leaves the batches running: the same command attaches to them again. `give_up` cancels them and applies what is
    finished. `takes_over` is asked before each wait for the seconds until the live pool is to take over.
    """

    in_flight = 0  # nothing that a stop would wait for
    parked = 0

    def __init__(self, means: Means, *, takes_over: Callable[[], float] | None = None, api: MakesApi = api_for) -> None:
        self._means = means
        self._makes_api = api
        self._loop = asyncio.get_running_loop()
        self._service: Service = service_of(means.route.provider, means.settings.batch)
        prices = BatchPrices(means.route.prices, self._service.price)
        self._route = replace(means.route, stream=None, prices=prices)
        self._patience = Patience(means.settings.retries, means.endings.where, means.endings.key_hint, means.jitter)
        self._register: Register | None = None
        self._submission: Submission | None = None
        self._takes_over = takes_over
        self._barren = 0
        self._giving_up = False
        self.throttle: Throttle = means.throttle
        self.ending: JobError | None = None

    # -- the run ---------------------------------------------------------------------------------------------------

    async def run(self, feeder: Feeder) -> None:
        means = self._means
        self._register = Register(means)
        try:
            async with self._makes_api(self._service, self._route, means.settings) as api:
                await self._run(feeder, self._register, api)
        except Stopped:
            pass
        finally:
            self._register.close()
        if self.ending is not None:
            raise self.ending

    async def _run(self, feeder: Feeder, register: Register, api: BatchApi) -> None:
        means = self._means
        manifest = await asyncio.to_thread(read_manifest, means.folder)
        job = str(manifest.job.get("sha256")) if manifest is not None else ""
        self._api = api
        files = BatchFiles(means.storage, means.folder, api, self._patience)
        self._application = Application(means, self._route, files, self._patience, job)
        self._supply = Supply(feeder, self._service, self._application)
        sheets = Sheets(means.storage, means.folder, self._service, self._route, means.budget)
        submission = Submission(means, self._service, api, self._patience, register, sheets, self._supply, job)
        self._submission = submission
        try:
            await self._attach(register, sheets, submission)
            await self._go_on(register, submission)
        except RemoteError as error:
            self.stop(self._patience.ending("the Batch API", error.verdict))
        except JobError as error:
            self.stop(error)
        except OSError as error:
            text = f"{means.folder}: the disk failed: {error.strerror or error}; free some space or mend it, then go on"
            self.stop(JobError(ExitCode.DISK, text))
        finally:
            await self._supply.close()
        if self.ending is None and not self._patience.stopped:
            self._conclude(register, sheets, submission)

    async def _go_on(self, register: Register, submission: Submission) -> None:
        while not self._patience.stopped:
            if not self._giving_up:
                await submission.fill()
            if not register.open:
                return
            await self._wait(register)
            for tag, watch in list(register.watches.items()):
                await self._look(register, register.states[tag], watch)

    def stop(self, ending: JobError | None = None) -> None:
        """Leave the batches where they are."""
        if self.ending is None:
            self.ending = ending
        self._patience.stop()

    def give_up(self) -> None:
        """Submit nothing more; the batches are cancelled at the next look."""
        self._giving_up = True

    @property
    def may_go_live(self) -> bool:
        """Whether what is left may be asked live: nothing of it is under way, and there is money."""
        register, submission = self._register, self._submission
        return register is not None and not register.open and submission is not None and submission.full is None

    def _conclude(self, register: Register, sheets: Sheets, submission: Submission) -> None:
        """Why lines are left, where nothing else has said so; where none are, the files about them can go."""
        if not register.open and not self._means.pending():
            sheets.clear(())
        if submission.full is not None:
            budget = submission.full.budget
            text = f"the budget of {budget.limit:g} is used up: {budget.spent:.4f} spent; a higher one goes on"
            self.ending = JobError(ExitCode.TRY_LATER, text)
        elif self._supply.left and self._takes_over is None and not self._giving_up:
            text = f"{self._supply.left:,} lines are nothing a batch can take (conversations, other endpoints); --lane live asks them"
            self.ending = JobError(ExitCode.TRY_LATER, text)

    # -- going on where an earlier run stopped -----------------------------------------------------------------------

    async def _attach(self, register: Register, sheets: Sheets, submission: Submission) -> None:
        """Take over what earlier runs have submitted, and what they owe to batches that are applied."""
        await register.read()
        going = register.open
        await asyncio.to_thread(self._application.read_notes, frozenset(one.tag for one in going))
        under_way, sent = await self._submitted(register)
        for state in register.states.values():
            if state.applied is None or not state.applied.get("again"):
                continue
            async with self._application.files.follow_ups(state) as (ids, _):
                if left := ids - sent.get(state.tag, set()):
                    under_way |= left
                    self._supply.owed.append(state)
        self._supply.sent_already, self._supply.under_way = sent, frozenset(under_way)
        sheets.clear(register.states)
        register.reserve(going)
        for state in going:
            if state.batch_id is None:
                await submission.find(state, create=not self._giving_up)
            else:
                register.watch(state)

    async def _submitted(self, register: Register) -> tuple[set[str], dict[str, set[str]]]:
        """The ids of lines in unfinished batches, and, by the batch they follow, of follow-ups that have been sent."""
        under_way: set[str] = set()
        sent: dict[str, set[str]] = {}
        for state in register.states.values():
            after = state.submitted.get("after") or ()
            if state.dropped is not None or not (state.open or after):
                continue
            lines = await asyncio.to_thread(read_ids, self._means.folder, state.tag, must=state.open)
            under_way.update(lines if state.open else ())
            for tag in after:
                sent.setdefault(tag, set()).update(lines)
        return under_way, sent

    # -- looking after -----------------------------------------------------------------------------------------------

    async def _wait(self, register: Register) -> None:
        """Until a batch is due to be looked at, or the live pool has to take over."""
        now = self._loop.time()
        wait = max(0.0, min((one.due for one in register.watches.values()), default=now) - now)
        if self._takes_over is not None and not self._giving_up:
            left = self._takes_over()
            if left <= 0:
                self._giving_up = True
                return
            wait = min(wait, left)
        if wait:
            await self._patience.sleep(wait)

    async def _look(self, register: Register, state: BatchState, watch: Watch) -> None:
        if self._giving_up and state.status not in OVER and state.status != "cancelling":
            await self._cancel(register, state)
            watch.due, watch.pause = self._loop.time(), None
        if watch.due > self._loop.time():
            return
        seen = as_ended(state) or await self._retrieved(register, state)
        if seen is None:
            return
        register.seen(state, seen)
        lane, now = self._means.settings.batch, self._loop.time()
        if seen.status in OVER:
            if self._files_late(seen, watch, now):
                watch.due = now + min(lane.poll, LATE_S)
            else:
                await self._finish(register, state, seen)
            return
        watch.pause = next_pause(watch.pause, lane.poll, lane.poll_most, self._means.jitter())
        watch.due = now + watch.pause

    async def _retrieved(self, register: Register, state: BatchState) -> Seen | None:
        assert state.batch_id is not None
        batch_id = state.batch_id
        try:
            seen = await self._patience.ask(lambda: self._api.retrieve(batch_id))
        except RemoteError as error:
            if error.verdict.code is not ErrorCode.NOT_FOUND:
                raise
            if self._route.provider.simulated:  # it lived as long as the run that made it
                register.drop(state, "the simulator that held it has ended")
                lines = await asyncio.to_thread(read_ids, self._means.folder, state.tag)
                self._supply.under_way -= frozenset(lines)
                return None
            text = (
                f"{self._means.endings.where} does not know batch {batch_id}: is it the account that made it? "
                f"`batchllm cancel --forget {self._means.folder}` gives it up, and its lines are paid for again"
            )
            raise JobError(ExitCode.ACCOUNT, text) from None
        return replace(seen, status=word(seen.status))

    def _files_late(self, seen: Seen, watch: Watch, now: float) -> bool:
        """Whether to go on waiting for the ids of its files. Raises `JobError` (69) where a completed batch never names any."""
        if not files_due(seen):
            return False
        watch.over = now if watch.over is None else watch.over
        if now - watch.over <= self._means.settings.retries.max_outage:
            return True
        if seen.status == "completed":
            text = f"batch {seen.id} is completed, but names no file of answers; the same command looks again"
            raise JobError(ExitCode.UNAVAILABLE, text)
        return False

    async def _cancel(self, register: Register, state: BatchState) -> None:
        assert state.batch_id is not None
        batch_id = state.batch_id
        try:
            seen = await self._patience.ask(lambda: self._api.cancel(batch_id))
        except RemoteError as error:
            if error.verdict.kind is not Kind.FINAL:  # one that has just ended is not cancelled any more
                raise
        else:
            register.seen(state, replace(seen, status=word(seen.status)))

    # -- the end of a batch ------------------------------------------------------------------------------------------

    async def _finish(self, register: Register, state: BatchState, seen: Seen) -> None:
        register.ended(state, seen)
        outcome = await self._application.apply(state, seen)
        if not await asyncio.to_thread(self._means.durable):
            raise Stopped  # the journal has said why
        register.applied(state, outcome.facts(), outcome.cost_usd if outcome.cost_known else None, outcome.tokens)
        self._application.tidy(state, outcome)
        if outcome.again and not self._giving_up:
            self._supply.owed.append(state)
        self._learn(state, seen, outcome)

    def _learn(self, state: BatchState, seen: Seen, outcome: Outcome) -> None:
        """What the end of one batch says of the next ones."""
        submission = self._submission
        assert submission is not None
        if outcome.ending is not None:
            self.stop(outcome.ending)
        elif seen.status == "failed" and not outcome.failed:
            if not queue_is_full(seen.faults):
                self.stop(self._refused(seen))
            elif not submission.too_much(state):
                text = f"the provider's queue takes no batch of a single line ({seen.faults[0].message}); run again later"
                self.stop(JobError(ExitCode.TRY_LATER, text))
        else:
            submission.passed()
            self._barren = 0 if outcome.answered or outcome.failed else self._barren + 1
            if self._barren >= BARREN and not self._giving_up:
                text = f"the last {BARREN} batches came back without one answer (the last is {seen.status}); run again later"
                self.stop(JobError(ExitCode.TRY_LATER, text))

    def _refused(self, seen: Seen) -> JobError:
        """A batch that failed as a whole, for a reason that no other batch would do better against."""
        reply = Reply(400, {}, as_error_body(seen.faults), 0.0)
        verdict = classify(reply, loads(reply.body), self._route.provider.rules, now=datetime.now(UTC))
        return self._patience.ending(f"batch {seen.id} failed", verdict or Verdict(Kind.FINAL, None, "no reason given"))

    def figures(self) -> Json:
        """`lanes.batch` of the summary."""
        return {} if self._register is None else {"lanes": {"batch": self._register.figures()}}


def lane(means: Means) -> BatchLane:
    """The engine for the table."""
    return BatchLane(means)


def cancelling(means: Means) -> BatchLane:
    """An engine that stops the batches and keeps what is finished; it submits nothing."""
    made = BatchLane(means)
    made.give_up()
    return made
