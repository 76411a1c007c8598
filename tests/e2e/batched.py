"""Runs through the simulator's Batch API in one loop whose clock jumps: several of them against the same provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from batchllm import assembly
from batchllm.configuration import Configuration
from batchllm.engines.batch_lane.lane import BatchLane, cancelling
from batchllm.engines.batch_lane.remote import OpenAIBatches, Seen
from batchllm.engines.engine import Means
from batchllm.errors import ExitCode, JobError
from batchllm.pipeline import Run
from batchllm.providers.batch_services import Service
from batchllm.route import Route
from batchllm.settings import Settings, checked
from batchllm.simulator import BatchOrders, Simulator, SimulatorOptions
from batchllm.supervisor import supervise
from tests.e2e import jumping
from tests.e2e.simulated import KEY, Line, prompts


@dataclass
class Place:
    """A job, its folder and the provider. Calling it runs the job once and gives the summary."""

    folder: Path
    simulator: Simulator
    settings: dict[str, Any] = field(default_factory=dict)
    key: str = KEY

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def write(self, lines: Sequence[Line]) -> None:
        (self.folder / "job.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    async def __call__(self, *, cancel: bool = False, stop_after: int | None = None, **more: Any) -> dict[str, Any]:
        """`cancel` stops the batches; `stop_after` ends the run as soon as so many batches are created."""
        values = {
            "provider": "openai", "base_url": self.simulator.base_url, "model": "simulated-1", "lane": "batch",
            "api_key_env": "TEST_KEY", "batch": {"lines": 20}, **self.settings, **more,
        }  # fmt: skip
        configuration = Configuration(checked(values, {}), {"TEST_KEY": self.key})
        made = assembly.parts(configuration, self.folder / "job.jsonl", self.out, command="batchllm run", base_url=None)
        if cancel or stop_after is not None:
            made = replace(made, engine=cancelling if stop_after is None else lambda means: stopping(means, stop_after))
        run = Run(made)
        run.prepare()
        try:
            await supervise(run, signals=False)
        except JobError as ending:
            run.ending = ending
        finally:
            summary = run.conclude()
        return summary

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.out / name
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        return {one["custom_id"]: one for one in self.lines("results.jsonl")}

    @property
    def asked(self) -> list[str]:
        """The prompts of all answers the provider has made and would bill."""
        path = self.folder / "ledger.jsonl"
        return [json.loads(line)["prompt"] for line in path.read_bytes().splitlines()] if path.exists() else []

    def events(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.lines("batches.jsonl") if one["event"] == name]


class Stopping(OpenAIBatches):
    """Calls `stop` behind the last creation that is wanted."""

    left = 0
    stop: Callable[[], None]

    async def create(self, *given: Any) -> Seen:
        seen = await super().create(*given)
        self.left -= 1
        if not self.left:
            self.stop()
        return seen


def stopping(means: Means, creations: int) -> BatchLane:
    """A lane that is told to stop after so many creations."""

    def api(_: Service, route: Route, settings: Settings) -> Stopping:
        made = Stopping(route, settings)
        made.left = creations
        made.stop = lambda: lane.stop(JobError(ExitCode.TRY_LATER, "stopped"))
        return made

    lane = BatchLane(means, api=api)
    return lane


Scenario = Callable[[Place], Awaitable[None]]


def play(
    tmp_path: Path,
    scenario: Scenario,
    orders: BatchOrders | None = None,
    *,
    lines: Sequence[Line] | int = 50,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Set up the provider and the job, and play the scenario."""

    async def played() -> None:
        given = {"seed": 2, "answer_words": 4, "api_key": KEY, "ledger": str(tmp_path / "ledger.jsonl"), **options}
        async with Simulator(SimulatorOptions(batches=orders or BatchOrders(), **given)) as simulator:
            place = Place(tmp_path, simulator, dict(settings or {}))
            place.write(prompts(lines) if isinstance(lines, int) else lines)
            await scenario(place)

    jumping.run(played())


def exit_code(summary: Mapping[str, Any]) -> int:
    return int(summary["ended"]["exit_code"])


def clock(hours: float) -> str:
    """The time of day so many hours from now."""
    return (datetime.now() + timedelta(hours=hours)).strftime("%H:%M")


async def seconds_of(call: Awaitable[Any]) -> float:
    """How long it took, by the loop's clock."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await call
    return loop.time() - began
