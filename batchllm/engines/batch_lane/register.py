"""The batches of a folder as a run knows them: what the log says of each, and when each that is under way is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from batchllm.engines.batch_lane.remote import Fault, Seen
from batchllm.engines.engine import Means
from batchllm.journal.batches import BatchLog, BatchState, read_batches
from batchllm.types import Json


@dataclass(slots=True)
class Watch:
    """When a batch is looked at next, in the loop's time; `over` since when it is over without naming its files."""

    due: float
    pause: float | None = None
    over: float | None = None


class Register:
    """Every word on a batch goes to the log first, and then counts here. `watches` are the batches that exist and are open."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._loop = asyncio.get_running_loop()
        self._log = BatchLog(means.storage, means.folder)
        self.states: dict[str, BatchState] = {}
        self.watches: dict[str, Watch] = {}

    async def read(self) -> None:
        """What earlier runs left. Raises `JobError` (65)."""
        self.states = await asyncio.to_thread(read_batches, self._means.folder)

    def close(self) -> None:
        self._log.close()

    @property
    def open(self) -> list[BatchState]:
        """Batches whose answers are not in the journal yet."""
        return [one for one in self.states.values() if one.open]

    def submitting(self, tag: str, facts: Json) -> BatchState:
        """Announce a creation."""
        state = self.states[tag] = BatchState(tag, self._log.write("submitting", tag, **facts))
        return state

    def created(self, state: BatchState, batch_id: str, first_look_s: float) -> None:
        state.take(self._log.write("created", state.tag, batch_id=batch_id))
        self.watch(state, first_look_s)

    def watch(self, state: BatchState, first_look_s: float = 0.0) -> None:
        """Look after a batch from now on."""
        self.watches[state.tag] = Watch(self._loop.time() + first_look_s)

    def seen(self, state: BatchState, seen: Seen) -> None:
        """Note where it stands, for those who ask `status`."""
        if (seen.status, seen.counts) != (state.status, state.counts):
            state.take(self._log.write("seen", state.tag, show=True, status=seen.status, counts=seen.counts))

    def ended(self, state: BatchState, seen: Seen) -> None:
        if state.ended is None:
            faults = [{"code": one.code, "message": one.message, "line": one.line} for one in seen.faults]
            facts: dict[str, Any] = {"status": seen.status, "counts": seen.counts, "faults": faults}
            facts |= {"output_file_id": seen.output_file_id, "error_file_id": seen.error_file_id}
            state.take(self._log.write("ended", state.tag, **facts))

    def applied(self, state: BatchState, facts: Json, usd: float | None, tokens: float) -> None:
        """All that it brought is durable; what was set aside for it is settled with what it took."""
        state.take(self._log.write("applied", state.tag, **facts))
        self.watches.pop(state.tag, None)
        self._settle(state, usd, tokens)

    def drop(self, state: BatchState, why: str) -> None:
        """It is none: its lines are as if they had not been submitted."""
        state.take(self._log.write("dropped", state.tag, why=why))
        self.watches.pop(state.tag, None)
        self._settle(state, 0.0, 0.0)

    def reserve(self, states: Iterable[BatchState]) -> None:
        """Set aside once more what earlier runs had set aside; what does not fit counts when it is told."""
        for state in states:
            usd, tokens = state.submitted.get("reserved") or (0.0, 0.0)
            if self._means.budget.reserve(usd, tokens) is not None:
                state.submitted["reserved"] = [0.0, 0.0]

    def _settle(self, state: BatchState, usd: float | None, tokens: float | None) -> None:
        reserved = state.submitted.get("reserved") or (0.0, 0.0)
        self._means.budget.settle((reserved[0], reserved[1]), (usd, tokens))

    def figures(self) -> Json:
        """What went by batches in all runs into the folder, what it cost, and what it saved; numbers are of lines."""
        applied = [one.applied for one in self.states.values() if one.applied is not None]
        known = all(one.get("cost_usd") is not None for one in applied)
        cost = sum(one.get("cost_usd") or 0.0 for one in applied)
        live = sum(one.get("live_usd") or 0.0 for one in applied)
        going = self.open
        return {
            "batches": len(self.states),
            "answered": sum(int(one.get("answered", 0)) for one in applied),
            "failed": sum(int(one.get("failed", 0)) for one in applied),
            "cost_usd": round(cost, 6) if known else None,
            "saved_usd": round(live - cost, 6) if known else None,
            "unfinished": len(going),
            "unfinished_lines": sum(one.requests for one in going),
        }


def as_ended(state: BatchState) -> Seen | None:
    """The batch as it was when it had ended, from the log; None where it had not."""
    ended = state.ended
    if ended is None or state.batch_id is None:
        return None
    faults = tuple(Fault(one.get("code", ""), one.get("message", ""), one.get("line")) for one in ended.get("faults") or ())
    files = ended.get("output_file_id"), ended.get("error_file_id")
    return Seen(state.batch_id, str(ended["status"]), None, *files, ended.get("counts") or {}, faults)
