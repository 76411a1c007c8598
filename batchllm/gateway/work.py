"""One batch on its way from validating to its files. Each step may be cut off anywhere by a kill: the next start repeats it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from itertools import islice
from typing import Literal

from batchllm.errors import ExitCode, JobError
from batchllm.gateway import outcome, rows
from batchllm.gateway.lines import SHOWN, findings, one_finding
from batchllm.gateway.objects import StoredFile, moved, usage_json
from batchllm.gateway.rows import Entry
from batchllm.gateway.shop import Shop
from batchllm.journal.index import State
from batchllm.parts import Parts
from batchllm.pipeline import Run
from batchllm.survey import bad_lines
from batchllm.terminal import say
from batchllm.types import BadLine, Json

Leaving = Literal["cancelled", "expired"]
AGAIN_S, AGAIN_MOST_S = 5.0, 900.0
"""A batch that could not go on (account refused, endpoint away, disk full) is tried again until it expires."""


class Work:
    """An unfinished batch. `step` takes it as far as it goes; `leave` and `pause` end a step early."""

    def __init__(self, shop: Shop, entry: Entry) -> None:
        self.entry = entry
        self.value = entry.object
        self.leaving: Leaving | None = "cancelled" if entry.status == "cancelling" else None
        self.asked = self.answered = 0
        """Lines of this process: how many ended with a record, and of them with an answer."""
        self._shop = shop
        self._run: Run | None = None
        self._paused = False
        self._failures = 0

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def tenant(self) -> str:
        return self.entry.tenant

    def shown(self) -> Json:
        """The batch as the API shows it now."""
        return {**self.value, "request_counts": self._counts()}

    def _counts(self) -> Json:
        run = self._run
        if run is None:
            counts: Json = self.value["request_counts"]
            return counts
        index = run.survey.index
        done, failed = index.count(State.DONE), index.count(State.FAILED)
        return {"total": run.survey.total, "completed": done, "failed": failed}

    @property
    def left(self) -> int:
        """Lines without a record."""
        return self.entry.lines if self._run is None else self._run.pending

    def check_time(self) -> bool:
        """Whether its window is over just now."""
        if self.leaving is not None or self._shop.now < self.value["expires_at"]:
            return False
        self.leave("expired")
        return True

    async def cancel(self) -> Json:
        """Cancelling, from now on and over any restart: nothing new is sent, what is in flight is kept."""
        if self.leaving is None:
            await self._move(moved(self.shown(), "cancelling", self._shop.now))
            self.leave("cancelled")
        return self.shown()

    def leave(self, how: Leaving) -> None:
        self.leaving = self.leaving or how
        self._stop(how)

    def pause(self) -> None:
        """The gateway stops: what is in flight may end, the rest is for the next start."""
        self._paused = True
        self._stop("the gateway stops")

    def _stop(self, why: str) -> None:
        if self._run is not None:
            self._run.stop(JobError(ExitCode.TRY_LATER, why))

    async def step(self) -> float | None:
        """Go on as far as possible. Seconds until it is worth another step; None once the batch has ended.

        Whatever goes wrong is said to the operator and is another reason to come back.
        """
        try:
            return await self._step()
        except JobError as error:
            return self._later(str(error), error.resume_after_s)
        except OSError as error:
            return self._later(f"the disk failed: {error.strerror or error}", None)
        except Exception as error:  # a defect of ours must not end the gateway
            logging.getLogger("batchllm").debug("the defect", exc_info=True)
            return self._later(f"a defect in batchllm itself ({type(error).__name__}); please report it", None)
        finally:
            self._run = None

    def _later(self, why: str, wait_s: float | None) -> float:
        wait: float = max(wait_s or 0.0, min(AGAIN_MOST_S, AGAIN_S * 2.0**self._failures))
        self._failures = min(self._failures + 1, 16)
        if not self._paused:
            say(f"{self.id}: {why}; again in {wait:.0f} s")
        return wait

    async def _step(self) -> float | None:
        shop, name = self._shop, self.id
        with closing(shop.house.door(self.tenant)) as door:
            made = await asyncio.to_thread(
                shop.upstream.parts, shop.places.job(name), shop.places.journal(name), self.value["endpoint"],
                shop.transport, door,
            )  # fmt: skip
            run = Run(made)
            if not await self._prepared(run):
                return None
            errors: Json | None = None
            try:
                errors = await self._checked(run)
                if errors is None:
                    await self._ask(run)
            finally:  # also where it was cancelled: the folder is held until then
                summary = await asyncio.to_thread(run.conclude)
                self._count(summary)
        if errors is not None:
            await self._fail(errors)
            return None
        return await self._go_on(run, summary)

    async def _go_on(self, run: Run, summary: Json) -> float | None:
        """What follows once the journal is settled: the batch's end, or the reason why it has to wait."""
        if self._paused:
            await self._move(self.shown())
            return AGAIN_S
        if run.ending is not None and run.ending.exit_code == ExitCode.DISK:
            raise run.ending
        if self.leaving is None and run.pending:
            raise run.ending or JobError(ExitCode.SOFTWARE, "it ended before its lines did")
        await self._finish(run, summary)
        return None

    async def _prepared(self, run: Run) -> bool:
        """Take the folder, read, repair; False for a batch that this has ended."""
        try:
            await asyncio.to_thread(run.prepare)
        except JobError as error:
            if error.exit_code != ExitCode.BAD_DATA:
                raise
            if self.value["in_progress_at"] is None:
                await self._fail(await asyncio.to_thread(_unusable, run.parts, error))
            else:
                await self._lost(error)
            return False
        self._run = run
        return True

    async def _checked(self, run: Run) -> Json | None:
        """What is wrong with the lines of a new batch; None where it is in progress now, or was before."""
        if self.value["status"] != "validating":
            return None
        errors = await asyncio.to_thread(self._errors, run)
        if errors is None and self.leaving is None:
            await self._move(moved(self.shown(), "in_progress", self._shop.now))
        return errors

    def _errors(self, run: Run) -> Json | None:
        found, most = run.survey, self._shop.max_lines
        if found.total > most:
            return one_finding("too_many_tasks", f"The file has {found.total} lines; a batch has {most} at most.")
        if not found.bad_count:
            return None
        return findings(list(islice(bad_lines(run.parts.job, found.index), SHOWN)), found.bad_count)

    async def _ask(self, run: Run) -> None:
        self.check_time()
        if run.pending and self.leaving is None and not self._paused:
            await run.execute()
            self.check_time()

    def _count(self, summary: Json) -> None:
        done, failed = summary["this_run"]["completed"], summary["this_run"]["failed"]
        self.answered += done
        self.asked += done + failed
        if done + failed:
            self._failures = 0

    async def _finish(self, run: Run, summary: Json) -> None:
        """Make the files and end the batch, both in one transaction: it has its files or it goes on."""
        shop, folder = self._shop, run.parts.folder
        status = self.leaving if run.pending or self.leaving == "cancelled" else "completed"
        assert status is not None
        if status == "completed":
            await self._move(moved(self.shown(), "finalizing", shop.now))
        unasked = outcome.EXPIRED if status == "expired" else outcome.CANCELLED
        output = await asyncio.to_thread(outcome.output_file, folder, shop.places.files)
        error = await asyncio.to_thread(outcome.error_file, folder, shop.places.files, run.parts.job, run.survey.index, unasked)
        value = moved(
            self.shown(), status, shop.now, usage=usage_json(summary["usage"]),
            output_file_id=output and output.id, error_file_id=error and error.id,
        )  # fmt: skip
        files = [self._file(made, kind) for made, kind in ((output, "output"), (error, "error")) if made is not None]
        await shop.store.call(lambda book: _end(book, value, files))
        self.value = value
        await asyncio.to_thread(shop.places.remove_batch, self.id)

    def _file(self, made: outcome.Made, kind: str) -> StoredFile:
        now, keep = self._shop.now, self.entry.keep_s
        expires = None if keep is None else now + keep
        return StoredFile(
            made.id, self.tenant, f"{self.id}_{kind}.jsonl", made.bytes, made.lines, "batch_output", now, expires
        )  # fmt: skip

    async def _fail(self, errors: Json) -> None:
        await self._move(moved(self.value, "failed", self._shop.now, errors=errors))
        await asyncio.to_thread(self._shop.places.remove_batch, self.id)

    async def _lost(self, error: JobError) -> None:
        """What was accepted can no longer be read: the batch ends, and what there is of it is left for a person to see."""
        say(f"{self.id}: {error}; its folder is kept in {self._shop.places.damaged}")
        await asyncio.to_thread(self._shop.places.set_aside, self.id)
        errors = one_finding("damaged", "The gateway can no longer read what it kept of this batch; ask its operator.")
        await self._move(moved(self.value, "failed", self._shop.now, errors=errors))

    async def _move(self, value: Json) -> None:
        await self._shop.store.call(lambda book: rows.move_batch(book, value))
        self.value = value


def _end(book: rows.Book, value: Json, files: list[StoredFile]) -> None:
    for file in files:
        rows.add_file(book, file)
    rows.move_batch(book, value)


def _unusable(parts: Parts, error: JobError) -> Json:
    """Why a file without a single usable line, or that cannot be read at all, makes no batch."""
    try:
        bad = list(islice((one for one in parts.job if isinstance(one, BadLine)), SHOWN))
    except JobError as unreadable:
        bad, error = [], unreadable
    if bad:
        return findings(bad, sum(1 for one in parts.job if isinstance(one, BadLine)))
    message = str(error).replace(str(parts.job.path), "The input file")
    return one_finding("empty_file" if "empty" in message else "invalid_file", message)
