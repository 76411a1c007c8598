"""The suites behind `docs/reliability.md`, each a plain function of its size: what was tried, and what did not hold."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TypeVar

from batchllm.testing.seeds import run_seeds
from tests.crash.processes import double_starts, file_size_limits, real_kills
from tests.crash.scenes import FRESH, GROUPED, SCENES, Scene
from tests.crash.sweeps import RANDOM, SWEEPS, THREADED, Counts
from tests.crash.test_stateful import live
from tests.e2e import test_cuts, test_faults_http
from tests.e2e.trial import attempt, leaks
from tests.faultserver.bodies import BODIES, STREAMS
from tests.faultserver.catalogue import CATALOGUE
from tests.fuzz.campaign import fuzz
from tests.mutants.table import MUTANTS
from tests.mutants.trial import attempt as attempt_mutant

ROOT = Path(__file__).parents[1]
KEY_TESTS = (
    "repeats_is_written_nowhere or logging_says_nothing or defect_of_ours or shown_without_the_key or refused_unshown or "
    "refused_and_not_repeated or leaks_neither_key or in_no_process_list or shows_all_headers"
)
SEED_CPU_S = 30.0
T = TypeVar("T")
SCENES_TOO = {**SCENES, FRESH.name: FRESH, GROUPED.name: GROUPED}


@dataclass
class Count:
    """One line of the page as it adds up: `tried` of which `broken` did not hold, and further figures by name.

    Figures named `worst …` are joined by their maximum, all others by their sum.
    """

    tried: int = 0
    broken: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: Count) -> Count:
        figures = dict(self.figures)
        for name, value in other.figures.items():
            old = figures.get(name, 0.0)
            figures[name] = max(old, value) if name.startswith("worst") else old + value
        return Count(self.tried + other.tried, [*self.broken, *other.broken], figures)


def _of(counts: Counts, **figures: float) -> Count:
    over = max(0, counts.repeats - counts.bound)
    return Count(counts.points, counts.broken, {"worst repeats": counts.repeats, "worst over bound": over, **figures})


def sweep(kind: str, scene: str, share: float) -> Count:
    return _of(SWEEPS[kind](SCENES_TOO[scene], share, 6))


def at_random(kind: str, scene: str, count: int) -> Count:
    table: dict[str, Callable[[Scene, int, int], Counts]] = THREADED if scene == GROUPED.name else RANDOM
    return _of(table[kind](SCENES_TOO[scene], count, 7))


def kills(count: int, seed: int) -> Count:
    return _of(real_kills(count, seed))


def starts(count: int, processes: int = 8) -> Count:
    counts = double_starts(count, processes)
    return Count(counts.points, counts.broken, {"processes": counts.points * processes})


def limits(count: int) -> Count:
    return _of(file_size_limits(count))


def catalogue(first: int, last: int) -> Count:
    """Faults of an endpoint: what each comes to, its waits and its books; and the key, which each of them is sent."""
    made = Count()
    for fault in CATALOGUE[first:last]:
        if test_faults_http.needs_openssl(fault):
            continue
        made.tried += 1
        with tempfile.TemporaryDirectory() as place:
            try:
                trial = attempt(fault, Path(place))
                test_faults_http.check_record(fault, trial)
                test_faults_http.check_waits(fault, trial)
                test_faults_http.check_flags(fault, trial)
                test_faults_http.check_books(fault, trial)
                hits = len(leaks(trial.files)) + len(trial.elsewhere)
            except AssertionError as error:
                made.broken.append(f"{fault.name}: {str(error)[:300]}")
                continue
        made += Count(figures={"injections": len(trial.requests), "canary scenarios": 1, "canary hits": hits})
    return made


def security() -> Count:
    """The tests of the key: echoed in every form, thrown, logged, on a command line, followed elsewhere."""
    command = [sys.executable, "-m", "pytest", "tests/e2e/test_security.py", "-k", KEY_TESTS, "--tb=line", "-rf"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    passed, failed = (sum(map(int, re.findall(rf"(\d+) {what}", ended.stdout))) for what in ("passed", "failed"))
    broken = [line for line in ended.stdout.splitlines() if line.startswith("FAILED")]
    if ended.returncode not in (0, 1):
        broken.append(f"pytest ended with {ended.returncode}: {ended.stdout[-300:]}")
    return Count(passed + failed, broken)


def cuts(kind: str) -> Count:
    """Every recorded reply, ended after each of its bytes, quietly and with an error."""
    made = Count()
    for ended in (test_cuts.closed_early, test_cuts.broken_off):
        for name, body in BODIES.items() if kind == "json" else ():
            for length in range(len(body.raw) + 1):
                taken = test_cuts.answered(ended(body.raw[:length], stream=False))
                made += _cut(f"{name} at {length}", taken, length >= body.complete_from, length < body.complete_from)
        for name, stream in STREAMS.items() if kind == "streams" else ():
            for length in range(len(stream.raw) + 1):
                taken = test_cuts.answered(ended(stream.raw[:length], stream=True, choices=len(stream.contents)))
                made += _cut(f"{name} at {length}", taken, length >= stream.complete_from, length <= stream.cut_until)
    return made


def _cut(where: str, taken: bool, whole: bool, partial: bool) -> Count:
    wrong = (taken and partial) or (whole and not taken)
    said = [f"{where}: {'taken for whole' if taken else 'not taken'}"] if wrong else []
    return Count(1, said, {"false successes": taken and partial})


class NotEndingError(KeyboardInterrupt):
    """Raised in the midst of a run in virtual time that comes to no end: what an event loop lets through at once."""


def simulations(first: int, last: int) -> Count:
    made = Count()
    for seed in range(first, last):
        counts = _within(SEED_CPU_S, partial(run_seeds, [seed]))
        if counts is None:
            made += Count(1, [f"seed {seed}: no end within {SEED_CPU_S} s of processor time"])
            continue
        figures = {"hours": counts.simulated_hours, "items": counts.items, "requests": counts.requests, "hints": counts.hints}
        made += Count(1, counts.violations, {**figures, "worst amplification": counts.amplification})
    return made


def _within(seconds: float, work: Callable[[], T]) -> T | None:
    """What `work` gives, None if it takes more processor time: a clock that jumps does not bound a run by itself."""
    expired: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        expired.append(number)
        raise NotEndingError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 5.0)
    try:
        return work()
    except BaseException:
        if not expired:
            raise
        return None  # whatever became of it on its way through the tasks
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def histories(examples: int, steps: int) -> Count:
    try:
        counts = live(examples, steps, shrink=False)
    except BaseException as error:  # whatever hypothesis makes of several failures
        return Count(0, [f"live({examples}, {steps}): {error!r}"[:2000]])
    return _of(counts, histories=counts.kinds["histories"], lives=counts.kinds["lives"])


def inputs(seconds: float, seed: int) -> Count:
    tried = fuzz(seconds, seed)
    return Count(tried.total, tried.broken, {"targets": len(tried.counts), "worst seconds": tried.slowest_s})


def mutants(first: int, last: int) -> Count:
    verdicts = [attempt_mutant(mutant) for mutant in MUTANTS[first:last]]
    return Count(len(verdicts), [f"{verdict.name}: {verdict.why}" for verdict in verdicts if not verdict.killed])


def memory(small: int, large: int) -> Count:
    from benchmarks.memory import measure

    made = measure(small, large, 64)
    figures = {"small": made.small, "large": made.large, "small peak": made.small_peak, "large peak": made.large_peak}
    return Count(2, [], figures)
