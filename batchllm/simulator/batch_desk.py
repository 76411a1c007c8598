"""The simulated Batch API's clerk: takes batches in, lives them through, and lets them go wrong to order."""

import asyncio
from asyncio import Task
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import count
from random import Random
from typing import Any

import orjson

from batchllm.simulator.batch import ENDPOINTS, Batch, lines_of, objections
from batchllm.simulator.batch_orders import FAILURES
from batchllm.simulator.desk import Desk
from batchllm.simulator.faults import Attempts
from batchllm.simulator.file_store import FileStore
from batchllm.simulator.limits import Limits
from batchllm.simulator.options import SimulatorOptions
from batchllm.simulator.reply import Reply
from batchllm.simulator.seeds import key_of, mix

CHUNK = 50
"""Lines carried out before other requests get their turn."""
BYTES_PER_TOKEN = 4


class BatchDesk:
    """Batches by id. `note` takes the ledger's line of each answer that was made.

    Lines are answered by a desk of their own: a batch meets no rate limit, and its 429s and 500s are the ones ordered.
    """

    def __init__(
        self, options: SimulatorOptions, clock: Callable[[], float], files: FileStore, note: Callable[[dict[str, Any]], None]
    ) -> None:
        self.orders = options.batches
        self._seed = options.seed
        self._clock = clock
        self._files = files
        self._note = note
        self._desk = Desk(replace(options, limits=Limits(), account="good", api_key=None), clock())
        self._held = Attempts()
        self._batches: dict[str, Batch] = {}
        self._numbers = count(1)
        self._requests = count(1)
        self._tasks: set[Task[None]] = set()
        self.lines = 0

    @property
    def created(self) -> int:
        return len(self._batches)

    def create(self, body: dict[str, Any]) -> Batch | str:
        """A new batch, or why there is none."""
        stored = self._files.get(str(body.get("input_file_id")))
        if stored is None or stored.purpose != "batch":
            return f"No such File object: {body.get('input_file_id')}"
        if body.get("endpoint") not in ENDPOINTS:
            return f"Invalid value for 'endpoint': {body.get('endpoint')!r}"
        if not isinstance(body.get("completion_window"), str):
            return "Missing required parameter: 'completion_window'."
        number = next(self._numbers)
        batch = Batch(
            f"batch_{number:012d}",
            stored.id,
            body["endpoint"],
            body["completion_window"],
            body.get("metadata"),
            self._clock(),
            len(stored.data) // BYTES_PER_TOKEN,
            hidden=self.orders.late_ids,
        )
        self._batches[batch.id] = batch
        self.lines += stored.data.count(b"\n")
        task = asyncio.get_running_loop().create_task(self._live(batch, number, stored.data), name=batch.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return batch

    def loses_reply(self) -> bool:
        """Whether the reply to the creation that has just been is one of those ordered to be lost."""
        return self.created <= self.orders.lost_creations

    def get(self, name: str) -> Batch | None:
        return self._batches.get(name)

    def shown(self, batch: Batch) -> dict[str, Any]:
        return batch.shown(metadata=not self.orders.drops_metadata, wrong_counts=self.orders.wrong_counts)

    def newest_first(self) -> list[dict[str, Any]]:
        """What the list shows by now."""
        listed = self._clock() - self.orders.list_lag_s
        return [self.shown(one) for one in reversed(self._batches.values()) if one.created <= listed]

    def cancel(self, batch: Batch) -> bool:
        """Begin to cancel; False where the batch has ended."""
        if batch.ended:
            return False
        if batch.status != "cancelling":
            batch.turn("cancelling")
            batch.cancelled.set()
        return True

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, batch: Batch, number: int, data: bytes) -> None:
        """A batch from its validation to its end."""
        orders = self.orders
        await asyncio.sleep(orders.validating_s)
        befallen = orders.befalls_batch(self._seed, number)
        lines = lines_of(data)
        if not self._admitted(batch, data, befallen == "fails"):
            batch.turn("failed")
            return
        batch.total = len(lines)
        Random(mix(self._seed, number)).shuffle(lines)
        if batch.status == "validating":
            batch.turn("in_progress")
        done = await self._carry_out(batch, lines, int(len(lines) * orders.done_share), expires=befallen == "expires")
        end = "completed"
        if done < len(lines) or batch.status == "cancelling":
            end = "cancelled" if batch.status == "cancelling" else "expired"
            self._leave(batch, lines[done:], end)
        if end != "completed":
            await asyncio.sleep(orders.cancelling_s)
        else:
            batch.turn("finalizing")
            await asyncio.sleep(orders.finalizing_s)
        self._finish(batch)
        batch.turn(end)

    def _admitted(self, batch: Batch, data: bytes, fails: bool) -> bool:
        queued = sum(one.tokens for one in self._batches.values() if not one.ended)
        most = self.orders.queued_tokens
        if fails or (most is not None and queued > most):
            code = self.orders.failure if fails else "token_limit_exceeded"
            batch.errors = [{"code": code, "message": FAILURES.get(code, code), "param": None, "line": None}]
        else:
            batch.errors = objections(data, batch.endpoint, self.orders)
        return not batch.errors

    async def _carry_out(self, batch: Batch, lines: list[bytes], early: int, *, expires: bool) -> int:
        """Answer lines one after the other; how many were begun before the batch expired or was cancelled."""
        each = self.orders.running_s / max(len(lines), 1)
        for start in range(0, len(lines), CHUNK):
            end = min(start + CHUNK, len(lines), early if expires else len(lines))
            for raw in lines[start:end]:
                self._line(batch, raw)
            if expires and end >= early:
                await _pause(batch, self.orders.running_s)
                return end
            await _pause(batch, each * (end - start))
            if batch.status == "cancelling":
                return end
        return len(lines)

    def _line(self, batch: Batch, raw: bytes) -> None:
        line = orjson.loads(raw)
        body = orjson.dumps(line["body"])
        key = key_of(self._seed, sha256(body).digest())
        befallen = self.orders.befalls_line(key, self._held.count(key) - 1)
        request_id = f"req_{next(self._requests):012d}"
        if befallen == "request_timeout":
            batch.unanswered(line["custom_id"], request_id, befallen, "The request could not be completed in time.")
            return
        if befallen == "status_zero":
            batch.answered(line["custom_id"], Reply(0, b""), request_id)
            return
        reply = self._desk.answer(_name(batch.endpoint), body, self._clock(), None, batch.id)
        if reply.record is not None:
            self._note(reply.record)
        if reply.fault is not None:  # the answer did not come through to the clerk
            reply = Reply(0, b"")
        if befallen != "missing":
            batch.answered(line["custom_id"], reply, request_id)

    def _leave(self, batch: Batch, lines: list[bytes], end: str) -> None:
        """The lines that were not begun."""
        code = "batch_expired" if end == "expired" else "batch_cancelled"
        message = f"This request was not executed before the batch was {end}."
        for raw in lines:
            batch.unanswered(orjson.loads(raw)["custom_id"], f"req_{next(self._requests):012d}", code, message)

    def _finish(self, batch: Batch) -> None:
        """The files, where there is anything to stand in them."""
        if batch.output:
            batch.output_file = self._files.add(f"{batch.id}_output.jsonl", "batch_output", bytes(batch.output)).id
        if batch.error:
            batch.error_file = self._files.add(f"{batch.id}_error.jsonl", "batch_output", bytes(batch.error)).id
        batch.output, batch.error = bytearray(), bytearray()


async def _pause(batch: Batch, seconds: float) -> None:
    """So long, or until the batch is cancelled."""
    try:
        async with asyncio.timeout(seconds):
            await batch.cancelled.wait()
    except TimeoutError:
        return


def _name(endpoint: str) -> str:
    """The desk's name of an endpoint."""
    return "chat" if endpoint.endswith("/chat/completions") else endpoint.rpartition("/")[2]
