"""Lines become batches: put together, uploaded, announced in the log, created once."""

from __future__ import annotations

import asyncio
from collections import deque

from batchllm.engines.batch_lane.patience import Patience
from batchllm.engines.batch_lane.register import Register
from batchllm.engines.batch_lane.remote import TAG, BatchApi, RemoteError, Seen
from batchllm.engines.batch_lane.sheets import FullError, Sheet, Sheets, Unsendable
from batchllm.engines.batch_lane.supply import Supply
from batchllm.engines.engine import Means
from batchllm.errors import ExitCode, JobError
from batchllm.journal.batches import BatchState
from batchllm.providers.batch_services import Service
from batchllm.types import Kind

_UNSURE = frozenset({Kind.MAYBE_PAID, Kind.UNREACHABLE})
_NO = frozenset({Kind.FINAL, Kind.STOP, Kind.PAUSE})


class Submission:
    """Submits as many batches as the provider's queue takes. `full` is set while a budget has no room for the next line.

    `queue_full` holds everything back until a batch of ours has ended; `cooling` for one long pause, where none is under way.
    """

    def __init__(
        self, means: Means, service: Service, api: BatchApi, patience: Patience, register: Register, sheets: Sheets, supply: Supply,
        job: str,
    ) -> None:  # fmt: skip
        self._means = means
        self._service = service
        self._api = api
        self._patience = patience
        self._register = register
        self._sheets = sheets
        self._supply = supply
        self._job = job
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Sheet] = deque()
        self._unborn: deque[BatchState] = deque()
        self.queue_full = False
        self.cooling = False
        self.full: FullError | None = None

    async def fill(self) -> None:
        """Submit until there is nothing more, or no room. Raises `JobError` where the provider or the disk says no."""
        register = self._register
        if self.cooling and not register.open:
            await self._patience.sleep(self._means.settings.batch.poll_most)
        self.cooling = False
        self.queue_full = self.queue_full and bool(register.watches)  # with none of ours in it, it is as empty as it gets
        while not self._patience.stopped:
            if self._unborn and not self.queue_full:
                await self._create(self._unborn.popleft())
                continue
            if not self._ready and not await self._compose():
                return
            if not self._room(self._ready[0]):
                return
            await self._send(self._ready.popleft())

    async def _compose(self) -> bool:
        """Put lines together until a batch is full, or there are no more; False where there is none."""
        self.full = None
        while (given := await self._supply.next()) is not None:
            item, after = given
            try:
                closed = await self._sheets.add(item, after)
            except Unsendable as unsendable:
                self._means.outlet.done(unsendable.step, item)
                continue
            except FullError as full:
                self._supply.put_back(item, after)
                self.full = full
                break
            if closed is not None:
                self._ready.append(closed)
                return True
        while self._sheets.begun:
            self._ready.append(self._sheets.take())
        return bool(self._ready)

    def _room(self, sheet: Sheet) -> bool:
        going, limits = self._register.open, self._service
        if not going:
            return True
        if self.queue_full or (limits.at_once is not None and len(going) >= limits.at_once):
            return False
        queued = sum(int(one.submitted.get("tokens", 0)) for one in going)
        return limits.queued_tokens is None or queued + sheet.tokens <= limits.queued_tokens

    async def _send(self, sheet: Sheet) -> None:
        try:
            await asyncio.to_thread(self._sheets.finish, sheet)
            file_id = await self._patience.ask(lambda: self._api.upload(sheet.path))
        except RemoteError as error:
            raise self._patience.ending("the file of a batch was refused", error.verdict) from None
        except OSError as error:
            raise JobError(ExitCode.DISK, f"{sheet.path}: the disk failed: {error.strerror or error}") from None
        finally:
            self._sheets.discard(sheet)
        facts = {"file_id": file_id, "window": self._service.window, "job": self._job, **sheet.facts()}
        await self._create(self._register.submitting(sheet.tag, facts))

    # -- creating once -----------------------------------------------------------------------------------------------

    async def find(self, state: BatchState, *, create: bool) -> None:
        """A run was cut off between a creation and its word of it: look for the batch; `create` it where there is none."""
        found = await self._search(state)
        if found is not None:
            self._created(state, found)
        elif create:
            await self._create(state)
        else:
            self._register.drop(state, "it was never created")

    async def _create(self, state: BatchState) -> None:
        """Where a creation's outcome is not known, the batch is looked for before another is created."""
        given = state.submitted
        began, retries = self._loop.time(), self._means.settings.retries
        while True:
            try:
                made = self._api.create(given["file_id"], given["endpoint"], given["window"], given["model"], state.tag)
                self._created(state, await made)
                return
            except RemoteError as error:
                verdict = error.verdict
            if verdict.kind in _UNSURE and (found := await self._search(state)) is not None:
                self._created(state, found)
                return
            if verdict.kind in _NO:
                self._register.drop(state, verdict.message)
                raise self._patience.ending("a batch was refused", verdict)
            if verdict.kind is Kind.REFUSED and self._register.watches:  # until another has ended
                self.queue_full = True
                self._unborn.append(state)
                return
            if self._loop.time() - began > retries.max_outage:
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
        self._register.created(state, seen.id, self._means.settings.batch.poll)

    # -- what the provider thinks of it ----------------------------------------------------------------------------------

    def too_much(self, state: BatchState) -> bool:
        """A batch failed for a full queue: wait, or make them smaller. False where one of a single line was too much."""
        alone = not self._register.watches
        self.queue_full, self.cooling = not alone, alone
        if alone:  # nothing of ours to wait for: others fill the queue, or it was too large by itself
            self._sheets.most_lines = max(1, min(self._sheets.most_lines, state.requests) // 2)
        return not alone or state.requests > 1

    def passed(self) -> None:
        """A batch went through: the queue has room again, for larger ones too."""
        self.queue_full = False
        self._sheets.most_lines = min(self._service.lines, self._sheets.most_lines * 2)
