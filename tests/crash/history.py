"""The whole life of one output folder: runs, deaths, power cuts, edits, refusals, and every promise after each of them.

What holds is judged from outside: by what the endpoint answered (`bought`) and what stands in the files.
"""

from __future__ import annotations

import asyncio
import errno
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from batchllm.errors import ExitCode, JobError, TransportError
from batchllm.journal import lock
from batchllm.pipeline import Run
from batchllm.testing import Fault, FaultyStorage, Ledger, PowerLossDisk, whole_lines
from batchllm.testing.promises import strict
from batchllm.types import Json, Reply
from tests.crash.lives import DIED, Life
from tests.crash.outside import (
    WRONG,
    Answers,
    Job,
    Mark,
    Standing,
    answer,
    answers,
    documents,
    files,
    kind,
    lines,
    standing,
    whole,
)
from tests.crash.scenes import Scene
from tests.crash.trial import SHM

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
_STOPPED = frozenset({130, 143})


@dataclass
class Disturbed(Life):
    drain_after: int | None = None
    """Loop turns after which the run is told to stop, as by a first signal."""

    async def _execute(self, run: Run) -> None:
        if self.drain_after is None:
            return await super()._execute(run)
        execution = asyncio.ensure_future(run.execute())
        for _ in range(self.drain_after):
            await asyncio.sleep(0)
        if not execution.done():
            run.stop(JobError(ExitCode.SIGTERM, "stopped by SIGTERM"))
        await execution
        return None


class History:
    """Steps of any kind, in any order. Each raises AssertionError where a promise does not hold after it.

    `steps` and `lives` were survived; `repeats` answers were bought and not written down, `bound` might have been,
    `worst` in one life without a power cut.
    """

    def __init__(self, place: Path) -> None:
        (place / "work").mkdir()
        self.folder = place / "work" / "outputs" / "job"
        self.disk = PowerLossDisk()
        self.job = Job()
        self.job.append(12)
        self.ledger = Ledger()
        self.bought: Counter[Mark] = Counter()
        self.refused: Counter[Mark] = Counter()
        self.model = 0
        self.accepted: dict[str, set[str]] = {}
        self.steps = self.repeats = self.bound = self.worst = self.lives = 0
        self._during: Any = None

    # -- what the endpoint saw ----------------------------------------------------------------------------------------

    def script(self, text: str, nth: int, body: Json) -> Reply | TransportError:
        reply = answer(text, nth, body)
        mark = text, str(body["model"])
        if isinstance(reply, Reply):
            self.bought[mark] += reply.status == 200 and b"<<" in reply.body
            self.refused[mark] += reply.status == 400
        if self._during is not None:
            self._during()
        return reply

    # -- what the files say -------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        return standing(self.folder)

    def _manifest_model(self) -> str | None:
        try:
            return str(strict((self.folder / "job.json").read_bytes())["shaping"]["model"])
        except FileNotFoundError:
            return None

    # -- steps --------------------------------------------------------------------------------------------------------

    def run(
        self,
        fault: Fault | None = None,
        *,
        lost: int = 0,
        power: random.Random | None = None,
        cancel_after: int | None = None,
        drain_after: int | None = None,
        second_at: int | None = None,
        **flags: Any,
    ) -> int:
        """One life, disturbed as told; `lost` is how many answers it may have bought in vain."""
        flags = {"durability": "each", "on_change": "refuse", "model": f"m{self.model}", **flags}
        before, accepted, refused = self._before(flags)
        bought, failed = self.bought.copy(), self.refused.copy()
        storage = FaultyStorage(fault, self.disk)
        scene = Scene("history", self.job.lines, self.script, flags, ends=self.job.ends)
        life = Disturbed(scene, self.folder, storage, self.ledger, cancel_after=cancel_after, drain_after=drain_after)
        if second_at is not None:
            self._during = self._second_start(second_at, scene)
        aside = set(self.folder.parent.glob("job.*")) if flags.get("fresh") else set()
        code = life.run()
        self._during = None
        moved = set(self.folder.parent.glob("job.*")) - aside if flags.get("fresh") else set()
        if moved:
            assert len(moved) == 1
            assert files(next(iter(moved))) == before.every, "what was moved aside is not whole"
            before, accepted = Standing({}, {}, Counter(), frozenset()), {flags["model"]}
            self.disk = PowerLossDisk()  # it knows files by their paths, and these have moved
        if power is not None:
            lost += self._cut_power(power)
        if self._manifest_model() == flags["model"]:
            self.accepted[flags["model"]] = accepted
        self._code(code, storage, fault, refused, cancel_after or drain_after)
        lost += life.unwritten
        self._nothing_lost(before, bought, accepted, lost, power is not None)
        self._nothing_again(before, bought, failed, accepted, bool(flags.get("retry_failed")), moved or refused)
        if code in (0, 1):
            self._complete(accepted)
            assert storage.struck or power or not self._left(), f"left behind: {self._left()}"
        self.steps += 1
        self.lives += 1
        return code

    def _before(self, flags: dict[str, Any]) -> tuple[Standing, set[str], bool]:
        """What stands before a life, the models whose answers count in it, and whether it has to be refused."""
        before, old, new = self.standing(), self._manifest_model(), flags["model"]
        known = self.accepted.get(old or "", set())
        if old is None or old == new or new in known:
            return before, {new, *known}, False
        if flags.get("fresh"):
            return before, {new}, False
        if flags["on_change"] == "keep":
            return before, {new, *known}, False
        has_results = any(documents(self.folder / "results.jsonl")) or bool(before.lines)
        return before, {new}, flags["on_change"] == "refuse" and has_results

    def _second_start(self, at: int, scene: Scene) -> Any:
        """What starts the same command once more in the midst of a run: it has to exit 75 and to send nothing."""
        calls, ledger = [0], Ledger()

        def during() -> None:
            calls[0] += 1
            if calls[0] == at:
                code = Life(scene, self.folder, self.disk, ledger).run()
                assert (code, len(ledger)) == (75, 0), f"a second run ended with {code} and sent {len(ledger)}"

        return during

    def cut_power(self, rng: random.Random) -> None:
        """The power goes while nobody runs."""
        before = self.standing()
        durable = self._durable()
        self.disk.lose(rng)
        after = self.standing()
        lost = before.every - after.every
        assert not (durable - after.every), f"synced and lost: {durable - after.every}"
        self.bound += sum(lost.values())
        self.repeats += sum(lost.values())
        self.steps += 1

    def _cut_power(self, rng: random.Random) -> int:
        """The power goes as the process ends; how many answers were written and not synced."""
        durable, every = self._durable(), self.standing().every
        self.disk.lose(rng)
        after = self.standing().every
        assert not (durable - after), f"synced and lost: {durable - after}"
        return sum((every - durable).values())

    def _durable(self) -> Answers:
        """The answers that an fsync has confirmed."""
        return answers(self.disk.synced(self.folder / "results.jsonl").split(b"\n")[:-1])

    # -- promises -----------------------------------------------------------------------------------------------------

    def _code(self, code: int, storage: FaultyStorage, fault: Fault | None, refused: bool, stopped: int | None) -> None:
        expected = {65} if refused else {self.job.ends}
        if storage.struck and fault is not None:
            expected = {DIED} if fault.kind in ("kill", "torn") else {74, *expected}
        if stopped is not None and not refused:
            expected |= _STOPPED
        assert code in expected, f"ended with {code}, not {sorted(expected)}"

    def _nothing_lost(self, before: Standing, bought: Counter[Mark], accepted: set[str], lost: int, power: bool) -> None:
        """Records that count stay byte for byte; of the answers of this life all but `lost` are written down."""
        for name in ("results.jsonl", "attempts.jsonl"):
            for raw in lines(self.folder / name)[:-1]:
                assert whole(raw), f"{name} has a torn line in its midst"
        after = self.standing()
        if not power:
            for custom_id, raw in before.lines.items():
                current = self.job.present.get(custom_id) == before.answers[custom_id][0]
                if current and before.answers[custom_id][1] in accepted:
                    assert after.lines.get(custom_id) == raw, f"{custom_id}: its record was lost or changed"
        paid = self.bought - bought
        written = Counter(mark for _, mark in (after.every - before.every).elements())
        unwritten = sum((paid - written).values())
        assert unwritten <= lost, f"{unwritten} answers were bought in vain, at most {lost} may be"
        self.repeats += unwritten
        self.bound += lost
        if not power:
            self.worst = max(self.worst, unwritten)

    def _nothing_again(
        self,
        before: Standing,
        bought: Counter[Mark],
        failed: Counter[Mark],
        accepted: set[str],
        retry_failed: bool,
        no_line: Any,
    ) -> None:
        """Each line that was open is asked to an end once, and no other line at all."""
        paid, refused = self.bought - bought, self.refused - failed
        opened: Counter[str] = Counter()
        for custom_id, text in self.job.present.items():
            done = before.answers.get(custom_id, ("", ""))
            if done[0] == text and done[1] in accepted:
                continue
            given_up = any((custom_id, (text, model)) in before.failed for model in accepted)
            opened[text] += retry_failed or not given_up
        for (text, _), count in (paid + refused).items():
            assert count <= opened[text], f"{text!r} was asked {count} times, {opened[text]} lines were open"

    def _complete(self, accepted: set[str]) -> None:
        """One record for each line, an answer to just that line, and strict JSON in every file."""
        results = whole_lines(self.folder / "results.jsonl")
        errors = whole_lines(self.folder / "errors.jsonl")
        whole_lines(self.folder / "attempts.jsonl")
        strict((self.folder / "summary.json").read_bytes())
        counts = Counter(record["custom_id"] for record in (*results, *errors))
        standing = self.standing()
        for custom_id, text in self.job.present.items():
            assert counts[custom_id] == 1, f"{custom_id} has {counts[custom_id]} records"
            if custom_id in standing.answers:
                found, model = standing.answers[custom_id]
                assert (found, model in accepted) == (text, True), f"{custom_id} has the answer to {found!r} by {model}"
            else:
                assert kind(text) == WRONG, f"{custom_id} failed"
        bad = sum(record["error"]["code"] == "invalid_line" for record in errors)
        assert bad == self.job.bad

    def _left(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if path.suffix == ".new" or path.name in (".reserve", ".rescue")]


@contextmanager
def history() -> Iterator[History]:
    """A new folder in memory, and no pause between knocks at a lock that is taken."""
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as place, mock.patch.object(lock, "PAUSE_S", 0.0):
        yield History(Path(place))
