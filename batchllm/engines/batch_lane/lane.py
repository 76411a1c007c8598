"""The engine: batches put together, submitted, looked after with patience, and applied; one thing after the other.

Everything it does can be cut off: what was submitted stands in `batches.jsonl` before its creation, and the next run goes
on from there. Nothing waits for the provider without being written down first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from batchllm.classify import classify
from batchllm.engines.batch_lane.apis import MakesApi, api_for
from batchllm.engines.batch_lane.application import Application, Outcome
from batchllm.engines.batch_lane.patience import Patience, Stopped
from batchllm.engines.batch_lane.prices import BatchPrices
from batchllm.engines.batch_lane.remote import TAG, BatchApi, Fault, RemoteError, Seen
from batchllm.engines.batch_lane.returns import OVER, as_error_body, files_due, queue_is_full, word
from batchllm.engines.batch_lane.services import Service, service_of
from batchllm.engines.batch_lane.sheets import FullError, Sheet, Sheets, Unsendable, read_ids
from batchllm.engines.batch_lane.supply import Supply
from batchllm.engines.batch_lane.timing import next_pause
from batchllm.engines.engine import Means
from batchllm.engines.feed import Feeder
from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.journal.batches import BatchLog, BatchState, read_batches
from batchllm.journal.manifest import read_manifest
from batchllm.strictjson import loads
from batchllm.throttle import Throttle
from batchllm.types import Json, Kind, Reply, Verdict

T = TypeVar("T")
BARREN = 3
"""So many batches in a row without one answer, and the run ends: the next ones would not fare better."""
_UNSURE = frozenset({Kind.MAYBE_PAID, Kind.UNREACHABLE})


@dataclass(slots=True)
class Watch:
    """When a batch is looked at next, in the loop's time; `over` since when it is over without naming its files."""

    due: float
    pause: float | None = None
    over: float | None = None


class BatchLane:
    """Runs a job through the provider's Batch API.

    `stop` leaves the batches running: the same command attaches to them again. `give_up` cancels them and applies what is
    finished. `takes_over` is asked before each wait for the seconds until the live pool is to take over.
    """

    def __init__(self, means: Means, *, takes_over: Callable[[], float] | None = None, api: MakesApi = api_for) -> None:
        self._means = means
        self._makes_api = api
        self._loop = asyncio.get_running_loop()
        self._service: Service = service_of(means.route.provider, means.settings.batch)
        prices = BatchPrices(means.route.prices, self._service.price)
        self._route = replace(means.route, stream=None, prices=prices)
        self._patience = Patience(means.settings.retries, means.endings.where, means.endings.key_hint, means.jitter)
        self._sheets = Sheets(means.storage, means.folder, self._service, self._route, means.budget)
        self._ready: deque[Sheet] = deque()
        self._states: dict[str, BatchState] = {}
        self._watches: dict[str, Watch] = {}
        self._takes_over = takes_over
        self._unborn: deque[BatchState] = deque()
        self._queue_full = False
        self._cooling = False
        self._barren = 0
        self._giving_up = False
        self._full: FullError | None = None
        self.throttle: Throttle = means.throttle
        self.parked = 0
        self.in_flight = 0
        self.ending: JobError | None = None

    # -- the run ---------------------------------------------------------------------------------------------------

    async def run(self, feeder: Feeder) -> None:
        self._log = BatchLog(self._means.storage, self._means.folder)
        try:
            async with self._makes_api(self._service, self._route, self._means.settings) as api:
                self._api: BatchApi = api
                await self._run(feeder)
        except Stopped:
            pass
        finally:
            self._log.close()
        if self.ending is not None:
            raise self.ending

    async def _run(self, feeder: Feeder) -> None:
        manifest = await asyncio.to_thread(read_manifest, self._means.folder)
        job = str(manifest.job.get("sha256")) if manifest is not None else ""
        self._application = Application(self._means, self._route, self._api, self._patience, job)
        self._supply = Supply(feeder, self._service, self._application)
        try:
            await self._attach()
            while not self._patience.stopped:
                await self._submit()
                if not self._open:
                    break
                await self._wait()
                await self._look()
        except RemoteError as error:
            self.stop(self._patience.ending("the Batch API", error.verdict))
        except JobError as error:
            self.stop(error)
        finally:
            await self._supply.close()
        self._conclude()

    def stop(self, ending: JobError | None = None) -> None:
        """Leave the batches where they are."""
        if self.ending is None:
            self.ending = ending
        self._patience.stop()

    def give_up(self) -> None:
        """Submit nothing more; the batches are cancelled at the next look."""
        self._giving_up = True

    def _conclude(self) -> None:
        """Why lines are left, where nothing else has said so."""
        if self.ending is not None or self._patience.stopped:
            return
        if not self._open and not self._means.pending():
            self._sheets.clear(())  # nothing refers to these files any more
        if self._full is not None:
            budget = self._full.budget
            text = f"the budget of {budget.limit:g} is used up: {budget.spent:.4f} spent; a higher one goes on"
            self.ending = JobError(ExitCode.TRY_LATER, text)
        elif self._supply.left and self._takes_over is None and not self._giving_up:
            text = f"{self._supply.left:,} lines are nothing a batch can take (conversations, other endpoints); --lane live asks them"
            self.ending = JobError(ExitCode.TRY_LATER, text)

    @property
    def may_go_live(self) -> bool:
        """Whether what is left may be asked live: nothing of it is under way, and there is money."""
        return not self._open and self._full is None

    @property
    def _open(self) -> list[BatchState]:
        return [one for one in self._states.values() if one.open]

    # -- going on where an earlier run stopped -----------------------------------------------------------------------

    async def _attach(self) -> None:
        folder = self._means.folder
        self._states = await asyncio.to_thread(read_batches, folder)
        going = self._open
        await asyncio.to_thread(self._application.read_notes, frozenset(one.tag for one in going))
        under_way: set[str] = set()
        sent: dict[str, set[str]] = {}
        for state in self._states.values():
            if state.dropped is not None:
                continue
            if state.open or state.submitted.get("after"):
                lines = await asyncio.to_thread(read_ids, folder, state.tag, must=state.open)
                under_way.update(lines if state.open else ())
                for tag in state.submitted.get("after") or ():
                    sent.setdefault(tag, set()).update(lines)
        owed = [one for one in self._states.values() if one.applied is not None and one.applied.get("again")]
        for state in owed:
            async with self._application.follow_ups(state) as (ids, _):
                if left := ids - sent.get(state.tag, set()):
                    under_way |= left
                    self._supply.owed.append(state)
        self._supply.sent_already, self._supply.under_way = sent, frozenset(under_way)
        self._sheets.clear(self._states)
        for state in going:
            usd, tokens = state.submitted.get("reserved") or (0.0, 0.0)
            if self._means.budget.reserve(usd, tokens) is not None:
                state.submitted["reserved"] = [0.0, 0.0]  # more than there is: nothing new is begun anyway
            if state.batch_id is None:
                await self._find_or_create(state)
            else:
                self._watches[state.tag] = Watch(self._loop.time())

    # -- submitting ------------------------------------------------------------------------------------------------

    async def _submit(self) -> None:
        """As many batches as the provider's queue takes."""
        if self._cooling and not self._open:
            await self._patience.sleep(self._means.settings.batch.poll_most)
        self._cooling = False
        self._queue_full = self._queue_full and bool(self._watches)  # with none of ours in it, it is as empty as it gets
        while not self._giving_up and not self._patience.stopped:
            if self._unborn and not self._queue_full:
                await self._create(self._unborn.popleft())
                continue
            if not self._ready and not await self._compose():
                return
            if not self._room(self._ready[0]):
                return
            await self._send(self._ready.popleft())

    async def _compose(self) -> bool:
        """Put lines together until a batch is full, or there are no more; False where there is none."""
        self._full = None
        while (given := await self._supply.next()) is not None:
            item, after = given
            try:
                full = await self._sheets.add(item, after)
            except Unsendable as unsendable:
                self._means.outlet.done(unsendable.step, item)
                continue
            except FullError as full_error:
                self._supply.put_back(item, after)
                self._full = full_error
                break
            if full is not None:
                self._ready.append(full)
                return True
        while self._sheets.begun:
            self._ready.append(self._sheets.take())
        return bool(self._ready)

    def _room(self, sheet: Sheet) -> bool:
        going, limits = self._open, self._service
        if not going:
            return True
        if self._queue_full or (limits.at_once is not None and len(going) >= limits.at_once):
            return False
        queued = sum(int(one.submitted.get("tokens", 0)) for one in going)
        return limits.queued_tokens is None or queued + sheet.tokens <= limits.queued_tokens

    async def _send(self, sheet: Sheet) -> None:
        try:
            await asyncio.to_thread(self._sheets.finish, sheet)
            file_id = await self._patience.ask(lambda: self._asked(self._api.upload(sheet.path)))
        except RemoteError as error:
            raise self._patience.ending("the file of a batch was refused", error.verdict) from None
        except OSError as error:
            raise JobError(ExitCode.DISK, f"{sheet.path}: the disk failed: {error.strerror or error}") from None
        finally:
            self._sheets.discard(sheet)
        facts = {"file_id": file_id, "window": self._service.window, "job": self._application.job, **sheet.facts()}
        event = self._log.write("submitting", sheet.tag, **facts)
        state = self._states[sheet.tag] = BatchState(sheet.tag, event)
        await self._create(state)

    async def _find_or_create(self, state: BatchState) -> None:
        """A run was cut off between the creation and its word of it."""
        found = await self._search(state)
        if found is not None:
            self._created(state, found)
        elif self._giving_up:
            self._drop(state, "it was never created")
        else:
            await self._create(state)

    async def _create(self, state: BatchState) -> None:
        """Create the batch once: where a creation's outcome is not known, it is looked for before another."""
        submitted = state.submitted
        terms = submitted["file_id"], submitted["endpoint"], submitted["window"], submitted["model"], state.tag
        began = self._loop.time()
        while True:
            try:
                self._created(state, await self._asked(self._api.create(*terms)))
                return
            except RemoteError as error:
                verdict = error.verdict
            if verdict.kind in _UNSURE and (found := await self._search(state)) is not None:
                self._created(state, found)
                return
            if verdict.kind in (Kind.FINAL, Kind.STOP, Kind.PAUSE):
                self._drop(state, verdict.message)
                raise self._patience.ending("a batch was refused", verdict)
            if verdict.kind is Kind.REFUSED and self._watches:  # until another has ended
                self._queue_full = True
                self._unborn.append(state)
                return
            if self._loop.time() - began > self._means.settings.retries.max_outage:
                raise self._patience.ending("a batch could not be created", verdict)
            await self._patience.sleep(max(verdict.after_s or 0.0, self._means.settings.batch.poll))

    async def _search(self, state: BatchState) -> Seen | None:
        """The batch among the account's: by our tag, or by its input file. A new one may be listed late."""
        until, pause = self._loop.time() + self._means.settings.batch.settle, 1.0
        while True:
            found = await self._patience.ask(lambda: self._listed(state))
            if found is not None or self._loop.time() >= until:
                return found
            await self._patience.sleep(min(pause, max(0.0, until - self._loop.time())))
            pause *= 2

    async def _listed(self, state: BatchState) -> Seen | None:
        async for seen in self._api.newest():
            if seen.metadata.get(TAG) == state.tag or seen.input_file_id == state.submitted["file_id"]:
                return seen
        return None

    def _created(self, state: BatchState, seen: Seen) -> None:
        state.take(self._log.write("created", state.tag, batch_id=seen.id))
        self._watches[state.tag] = Watch(self._loop.time() + self._means.settings.batch.poll)

    def _drop(self, state: BatchState, why: str) -> None:
        state.take(self._log.write("dropped", state.tag, why=why))
        self._watches.pop(state.tag, None)
        self._settle(state, 0.0, 0.0)

    def _settle(self, state: BatchState, usd: float | None, tokens: float | None) -> None:
        reserved = state.submitted.get("reserved") or (0.0, 0.0)
        self._means.budget.settle((reserved[0], reserved[1]), (usd, tokens))

    # -- looking after -----------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Until a batch is due to be looked at, or the live pool has to take over."""
        now = self._loop.time()
        wait = max(0.0, min((one.due for one in self._watches.values()), default=now) - now)
        if self._takes_over is not None and not self._giving_up:
            left = self._takes_over()
            if left <= 0:
                self._giving_up = True
                return
            wait = min(wait, left)
        if wait:
            await self._patience.sleep(wait)

    async def _look(self) -> None:
        for tag, watch in list(self._watches.items()):
            state = self._states[tag]
            if self._giving_up and state.status not in OVER and state.status != "cancelling":
                await self._cancel(state)
                watch.due, watch.pause = self._loop.time(), None
            if watch.due <= self._loop.time():
                await self._look_at(state, watch)

    async def _look_at(self, state: BatchState, watch: Watch) -> None:
        assert state.batch_id is not None
        seen = _as_ended(state) or await self._retrieved(state, state.batch_id)
        if seen is None:
            return
        if (seen.status, seen.counts) != (state.status, state.counts):
            state.take(self._log.write("seen", state.tag, show=True, status=seen.status, counts=seen.counts))
        lane, now = self._means.settings.batch, self._loop.time()
        if seen.status in OVER and not self._files_late(seen, watch, now):
            await self._finish(state, seen)
            return
        watch.pause = next_pause(watch.pause, lane.poll, lane.poll_most, self._means.jitter())
        watch.due = now + watch.pause

    async def _retrieved(self, state: BatchState, batch_id: str) -> Seen | None:
        try:
            seen = await self._patience.ask(lambda: self._asked(self._api.retrieve(batch_id)))
        except RemoteError as error:
            if error.verdict.code is not ErrorCode.NOT_FOUND:
                raise
            if self._route.provider.simulated:  # it lived as long as the run that made it
                self._drop(state, "the simulator that held it has ended")
                self._supply.under_way -= frozenset(await asyncio.to_thread(read_ids, self._means.folder, state.tag))
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

    async def _cancel(self, state: BatchState) -> None:
        assert state.batch_id is not None
        batch_id = state.batch_id
        try:
            seen = await self._patience.ask(lambda: self._asked(self._api.cancel(batch_id)))
        except RemoteError as error:
            if error.verdict.kind is not Kind.FINAL:  # one that has just ended is not cancelled any more
                raise
        else:
            state.take(self._log.write("seen", state.tag, show=True, status=word(seen.status), counts=seen.counts))

    async def _asked(self, call: Awaitable[T]) -> T:
        """One call, counted as in flight while it lasts."""
        self.in_flight += 1
        try:
            return await call
        finally:
            self.in_flight -= 1

    # -- the end of a batch ------------------------------------------------------------------------------------------

    async def _finish(self, state: BatchState, seen: Seen) -> None:
        if state.ended is None:
            faults = [{"code": one.code, "message": one.message, "line": one.line} for one in seen.faults]
            event = self._log.write(
                "ended", state.tag, status=seen.status, counts=seen.counts, faults=faults,
                output_file_id=seen.output_file_id, error_file_id=seen.error_file_id,
            )  # fmt: skip
            state.take(event)
        await self._application.fetch(state, seen)
        outcome = await self._application.apply(state, seen)
        if not await asyncio.to_thread(self._means.durable):
            raise Stopped  # the journal has said why
        state.take(self._log.write("applied", state.tag, **outcome.facts()))
        self._watches.pop(state.tag, None)
        self._application.tidy(state, outcome)
        self._settle(state, outcome.cost_usd if outcome.cost_known else None, outcome.tokens)
        if outcome.again and not self._giving_up:
            self._supply.owed.append(state)
        self._learn(state, seen, outcome)

    def _learn(self, state: BatchState, seen: Seen, outcome: Outcome) -> None:
        """What the end of one batch says of the next ones."""
        if outcome.ending is not None:
            self.stop(outcome.ending)
            return
        if seen.status == "failed" and not outcome.failed:
            self._refused(state, seen)
            return
        self._queue_full = False
        self._barren = 0 if outcome.answered or outcome.failed else self._barren + 1
        if self._barren >= BARREN and not self._giving_up:
            text = f"the last {BARREN} batches came back without one answer (the last is {seen.status}); run again later"
            self.stop(JobError(ExitCode.TRY_LATER, text))

    def _refused(self, state: BatchState, seen: Seen) -> None:
        """A batch that failed as a whole: too much at once, or something that no other batch would do better."""
        if queue_is_full(seen.faults):
            alone = not self._watches
            self._queue_full, self._cooling = not alone, alone
            if alone:  # nothing of ours to wait for: others fill the queue, or it was too large by itself
                self._sheets.most_lines = max(1, min(self._sheets.most_lines, state.requests) // 2)
                self._barren += state.requests == 1
            if self._barren < BARREN:
                return
        reply = Reply(400, {}, as_error_body(seen.faults), 0.0)
        verdict = classify(reply, loads(reply.body), self._route.provider.rules, now=datetime.now(UTC))
        self.stop(self._patience.ending(f"batch {seen.id} failed", verdict or Verdict(Kind.FINAL, None, "no reason given")))

    # -- what is told --------------------------------------------------------------------------------------------------

    def figures(self) -> Json:
        """`lanes.batch` of the summary: what went this way in all runs into the folder, what it cost, and what it saved."""
        applied = [one.applied for one in self._states.values() if one.applied is not None]
        known = all(one.get("cost_usd") is not None for one in applied)
        cost = sum(one.get("cost_usd") or 0.0 for one in applied)
        live = sum(one.get("live_usd") or 0.0 for one in applied)
        going = self._open
        return {
            "lanes": {
                "batch": {
                    "batches": len(self._states),
                    "answered": sum(int(one.get("answered", 0)) for one in applied),
                    "failed": sum(int(one.get("failed", 0)) for one in applied),
                    "cost_usd": round(cost, 6) if known else None,
                    "saved_usd": round(live - cost, 6) if known else None,
                    "unfinished": len(going),
                    "unfinished_lines": sum(one.requests for one in going),
                }
            }
        }


def _as_ended(state: BatchState) -> Seen | None:
    """The batch as it was when it had ended, from the log; None where it had not."""
    ended = state.ended
    if ended is None or state.batch_id is None:
        return None
    faults = tuple(Fault(one.get("code", ""), one.get("message", ""), one.get("line")) for one in ended.get("faults") or ())
    return Seen(
        state.batch_id, str(ended["status"]), None, ended.get("output_file_id"), ended.get("error_file_id"),
        ended.get("counts") or {}, faults,
    )  # fmt: skip


def lane(means: Means) -> BatchLane:
    """The engine for the table."""
    return BatchLane(means)


def cancelling(means: Means) -> BatchLane:
    """An engine that stops the batches and keeps what is finished; it submits nothing."""
    made = BatchLane(means)
    made.give_up()
    return made


