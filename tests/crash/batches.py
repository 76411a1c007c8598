"""Lives of a run through the Batch API, each ended at a chosen storage call or a chosen call to the provider.

The provider is the simulator on another thread: it lives on while runs die, and its ledger says what was submitted and
what was answered. After each death the same command runs to its end.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

from batchllm.assembly import parts
from batchllm.configuration import load
from batchllm.engines.batch_lane.apis import api_for
from batchllm.engines.batch_lane.lane import BatchLane
from batchllm.errors import JobError
from batchllm.pipeline import Run
from batchllm.simulator import BatchOrders, Faults, SimulatorOptions, run_in_thread
from batchllm.testing import Fault, FaultyStorage, Killed, QuickDisk, check_promises
from tests.crash.trial import SHM

DIED = -9
LINES = 24
When = Literal["before", "after"]
BOOKS = ("request_counts", "usage", "rejected_usage", "usage_unknown", "outcome_unknown", "failures")

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["label"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Scene:
    """How the provider behaves, and how the job is run. `ends` is the exit code of a run that nothing disturbs."""

    name: str
    orders: BatchOrders = field(default_factory=BatchOrders)
    faults: Faults = field(default_factory=Faults)
    flags: dict[str, Any] = field(default_factory=dict)
    schema: bool = False
    ends: int = 0


PLAIN = Scene("plain")
TROUBLED = Scene(
    "troubled",
    BatchOrders(
        expires=0.5, troubles=2, missing=0.08, status_zero=0.08, request_timeout=0.08, line_troubles=1, late_ids=1,
        wrong_counts=True, drops_metadata=True, lost_creations=1,
    ),
    Faults(server_error=0.1),
)  # fmt: skip
REASKED = Scene("re-asked", faults=Faults(invalid_json=0.3), schema=True, flags={"reask": 3}, ends=1)
SCENES = {one.name: one for one in (PLAIN, TROUBLED, REASKED)}


@dataclass(frozen=True)
class Crash:
    """The process dies before or after the `at`-th call to the provider (from 1): after, the provider has done it."""

    at: int
    when: When


class Mortal:
    """A Batch API whose caller dies at a chosen call. `storage` dies with it: nothing a `finally` does has an effect."""

    def __init__(self, inner: Any, crash: Crash | None, storage: FaultyStorage, calls: list[str], *, blind: bool) -> None:
        self._inner = inner
        self._blind = blind
        self._crash = crash
        self._storage = storage
        self._calls = calls

    def _die(self, when: When) -> None:
        if self._crash is not None and self._crash == Crash(len(self._calls), when):
            self._storage.kill()
            raise Killed

    async def _call(self, name: str, *given: Any) -> Any:
        self._calls.append(name)
        self._die("before")
        outcome = await getattr(self._inner, name)(*given)
        self._die("after")
        return outcome

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    async def newest(self) -> AsyncIterator[Any]:
        self._calls.append("newest")
        self._die("before")
        async for one in self._inner.newest():
            if not self._blind:
                yield one
        self._die("after")


@dataclass
class Trial:
    """One scene with its provider, lived through until it is done."""

    scene: Scene
    place: Path
    base_url: str
    blind: bool = False
    """The provider lists no batches."""
    broken: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.place / "out"

    @property
    def job(self) -> Path:
        return self.place / "job.jsonl"

    def live(self, storage: FaultyStorage, crash: Crash | None = None) -> tuple[int, list[str]]:
        """Run the command once; its exit code or `DIED`, and the calls it made to the provider."""
        calls: list[str] = []
        try:
            return self._live(storage, crash, calls), calls
        except JobError as error:
            return int(error.exit_code), calls
        except Killed:
            return DIED, calls

    def _live(self, storage: FaultyStorage, crash: Crash | None, calls: list[str]) -> int:
        flags: dict[str, Any] = {
            "base_url": self.base_url, "model": "m", "lane": "batch", "durability": "each", **self.scene.flags,
            "batch": {"lines": 10, "poll": 0.002, "poll_most": 0.004, "settle": 0.05},
            "retries": {"base": 0.001, "cap": 0.002},
        }  # fmt: skip
        if self.scene.schema:
            flags["schema"] = str(self.place / "schema.json")
        made = parts(load(self.job, flags, working_dir=self.place, environ={}), self.job, self.folder, command="batchllm run")

        @asynccontextmanager
        async def mortal(*given: Any) -> AsyncIterator[Any]:
            inner: AbstractAsyncContextManager[Any] = api_for(*given)
            async with inner as api:
                yield Mortal(api, crash, storage, calls, blind=self.blind)

        run = Run(replace(made, storage=storage, jitter=lambda: 0.5, engine=lambda means: BatchLane(means, api=mortal)))
        run.prepare()
        asyncio.run(run.execute())
        summary = run.conclude()
        if storage.dead:
            raise Killed
        return int(summary["ended"]["exit_code"])

    def end(self) -> None:
        """The same command to its end, and every promise checked."""
        code, _ = self.live(FaultyStorage(inner=QuickDisk()))
        if code != self.scene.ends:
            self.broken.append(f"the resumed run ended with {code}, not {self.scene.ends}")
            return
        found = check_promises(self.folder, self.job, self.answers(), bound=LINES * 10)
        self.broken += found.broken

    def outcome(self, usual: Undisturbed, where: str) -> list[str]:
        """Whatever happened: every line has its record, and the provider was asked for nothing it had been asked for before."""
        self.end()
        lines, answers = self.stats()["batch_lines"], self.answers()
        if lines != usual.lines:
            self.broken.append(f"{lines} lines were submitted, {usual.lines} are usual")
        again = {text: count for text, count in answers.items() if count != usual.answers[text]}
        if again:
            self.broken.append(f"answered otherwise than usual: {again}")
        if self.books() != usual.books:
            self.broken.append(f"the books say {self.books()}, usual are {usual.books}")
        return [f"{where}: {one}" for one in self.broken]

    def answers(self) -> Counter[str]:
        """Answers the provider made and would bill, by prompt."""
        lines = (self.place / "ledger.jsonl").read_bytes().splitlines()
        return Counter(json.loads(line)["prompt"].split("\n")[0] for line in lines)

    def books(self) -> dict[str, Any]:
        """What the summary adds up over all lives: the bill of a run that was killed is that of one that was not."""
        found = json.loads((self.folder / "summary.json").read_bytes())
        return {name: found[name] for name in BOOKS}

    def stats(self) -> dict[str, Any]:
        with urlopen(self.base_url.removesuffix("/v1") + "/simulator/stats") as reply:
            found: dict[str, Any] = json.load(reply)
        return found


@contextmanager
def stage(scene: Scene) -> Iterator[Trial]:
    """A new provider, a new job, an empty folder; in memory."""
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as name:
        place = Path(name)
        lines = [json.dumps({"custom_id": f"doc-{n}", "prompt": f"doc {n}"}) for n in range(1, LINES + 1)]
        (place / "job.jsonl").write_text("\n".join(lines) + "\n")
        (place / "schema.json").write_text(json.dumps(SCHEMA))
        options = SimulatorOptions(
            seed=5, answer_words=3, ledger=str(place / "ledger.jsonl"), batches=scene.orders, faults=scene.faults
        )
        with run_in_thread(options) as hosted:
            yield Trial(scene, place, hosted.base_url)


@dataclass(frozen=True)
class Undisturbed:
    """What a run does that nothing disturbs: storage calls, calls to the provider, answers by prompt, lines submitted, books."""

    storage: list[str]
    calls: list[str]
    answers: Counter[str]
    lines: int
    books: dict[str, Any]


def undisturbed(name: str) -> Undisturbed:
    scene = SCENES[name]
    with stage(scene) as trial:
        storage = FaultyStorage(inner=QuickDisk())
        code, calls = trial.live(storage)
        assert code == scene.ends
        return Undisturbed(storage.trace, calls, trial.answers(), trial.stats()["batch_lines"], trial.books())


def crash_at_storage(scene: Scene, fault: Fault, usual: Undisturbed) -> list[str]:
    """Promises broken by a death at a storage call."""
    with stage(scene) as trial:
        storage: FaultyStorage = FaultyStorage(fault, QuickDisk())
        code, _ = trial.live(storage)
        if storage.struck and code != DIED:
            trial.broken.append(f"ended with {code} though it was killed")
        return trial.outcome(usual, f"{scene.name}: {fault}")


def disk_trouble(scene: Scene, fault: Fault, usual: Undisturbed) -> list[str]:
    """Promises broken where the disk refuses a call: the run ends with 74, or did not need it; the next one completes it."""
    with stage(scene) as trial:
        code, _ = trial.live(FaultyStorage(fault, QuickDisk()))
        if code not in (scene.ends, 74):
            trial.broken.append(f"ended with {code}")
        return trial.outcome(usual, f"{scene.name}: {fault}")


def crash_at_call(scene: Scene, crash: Crash, usual: Undisturbed, *, blind: bool = False) -> list[str]:
    """Promises broken by a death at a call to the provider."""
    with stage(scene) as trial:
        trial.blind = blind
        trial.live(FaultyStorage(inner=QuickDisk()), crash)
        return trial.outcome(usual, f"{scene.name}: {crash}")


def some(points: Iterable[Any], share: float, seed: int) -> list[Any]:
    """A seeded share of the points, at least one."""
    every = list(points)
    return every if share >= 1 else random.Random(seed).sample(every, max(1, round(len(every) * share)))


def storage_deaths(usual: Undisturbed) -> list[Fault]:
    """A death at the entry of every call, and in the midst of every write."""
    writes = [at for at, call in enumerate(usual.storage, 1) if call.startswith("write ")]
    torn = [Fault(at, "torn", share=part) for at in writes for part in (0.5, 0.999)]
    return [*(Fault(at) for at in range(1, len(usual.storage) + 1)), *torn]


def call_deaths(usual: Undisturbed) -> list[Crash]:
    """A death before and after every call to the provider."""
    whens: tuple[When, ...] = ("before", "after")
    return [Crash(at, when) for at in range(1, len(usual.calls) + 1) for when in whens]
