"""Real processes: `kill -9` under load at random moments, many starts at once, and a kernel that refuses to write more.

The server that answers is the outside witness: what it accepted, whoever lived to read the answer.
"""

from __future__ import annotations

import concurrent.futures
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from batchllm.testing import check_promises, finished
from tests import faultserver as fs
from tests.crash.scenes import line
from tests.crash.sweeps import Counts

CONCURRENCY = 16
START_S = 20.0
"""The longest a loaded machine may take to start one process."""


class Workplace:
    """A job, the server that answers it, and the command that runs it."""

    def __init__(self, folder: Path, server: fs.FaultServer, lines: int, size: int = 40) -> None:
        self.folder = folder
        self.server = server
        self.job = folder / "job.jsonl"
        self.output = folder / "outputs" / "job"
        self.job.write_bytes(b"".join(line(n, f"doc {n} {'x' * size}") + b"\n" for n in range(1, lines + 1)))

    def start(self, *flags: str, prepare: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BATCHLLM_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "batchllm", "run", str(self.job), "--base-url", self.server.base_url, "--model", "m",
             "--concurrency", str(CONCURRENCY), "--quiet", *flags],
            cwd=self.folder, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=prepare,
        )  # fmt: skip

    def run(self, *flags: str, prepare: Callable[[], None] | None = None) -> tuple[int, str]:
        """Start and see it to its end; the exit code and what it said."""
        process = self.start(*flags, prepare=prepare)
        _, said = process.communicate(timeout=120)
        return process.returncode, said.decode()

    def asked(self, since: int = 0) -> Counter[str]:
        return Counter(request.text for request in self.server.calls[since:])

    def done(self) -> set[str]:
        """The texts that have a whole record."""
        numbers = {int(custom_id.removeprefix("doc-")) for custom_id in finished(self.output)}
        return {text for text in self.asked() if int(text.split()[1]) in numbers}


@contextmanager
def workplace(script: fs.ScriptLike, lines: int, size: int = 40) -> Iterator[Workplace]:
    with tempfile.TemporaryDirectory() as place, fs.run_in_thread(fs.FaultServer(script, elsewhere=False)) as server:
        yield Workplace(Path(place), server, lines, size)


def real_kills(count: int, seed: int = 1, lines: int = 400) -> Counts:
    """`kill -9` of the real process `count` times, at random moments of its start, its work and its recovery.

    `repeats` is the worst that one kill has cost: requests accepted in that life whose answers nobody wrote down.
    """
    rng, counts, killed = random.Random(seed), Counts(), 0
    while killed < count:
        with workplace(_paced(random.Random(seed)), lines) as place:
            broken: list[str] = []
            deaths, unread, kept = 0, 0, {}
            worst = 0
            while killed + deaths < count and _kill_at_random(place, rng, broken):
                deaths += 1
                worst = max(worst, sum(place.asked().values()) - len(place.done()) - unread)
                unread = sum(place.asked().values()) - len(place.done())
                kept = finished(place.output)
            code, said = place.run()
            if code != 0:
                broken.append(f"the resumed run ended with {code}: {said}")
            found = check_promises(place.output, place.job, place.asked(), bound=deaths * CONCURRENCY, kept=kept)
            if worst > CONCURRENCY:
                broken.append(f"a kill cost {worst} answers")
            killed += max(deaths, 1)
            counts.add("kill -9", worst, CONCURRENCY, [*broken, *found.broken], f"seed {seed}")
            counts.points += deaths - 1
            counts.kinds["kill -9"] += deaths - 1
    return counts


def _paced(rng: random.Random) -> Callable[[fs.Request], fs.Step]:
    return lambda request: fs.delayed(fs.echo(request), rng.uniform(0.005, 0.05))


def _kill_at_random(place: Workplace, rng: random.Random, broken: list[str]) -> bool:
    """One life, killed; False if it came to its end before."""
    server, before, done = place.server, len(place.server.calls), place.done()
    process = place.start()
    try:
        if rng.random() < 0.7:  # under load
            wanted = before + rng.randint(1, 90)
            _arrived(server, lambda: len(server.calls) >= wanted)
        else:  # while it starts, reads back and repairs
            process.wait(rng.uniform(0.0, 1.2))
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    _arrived(server, lambda: server.deserted)  # what the dead had sent counts for this life, not for the next one
    again = place.asked(before).keys() & done
    broken += [f"asked again though finished: {text}" for text in sorted(again)]
    return process.returncode == -signal.SIGKILL


def _arrived(server: fs.FaultServer, condition: Callable[[], bool], timeout_s: float = START_S) -> bool:
    try:
        server.wait_until(condition, timeout_s)
    except (TimeoutError, concurrent.futures.TimeoutError):
        return False
    return True


def double_starts(count: int, processes: int = 8, lines: int = 12) -> Counts:
    """Many processes started at once on one folder: one sends, the others exit 75 having sent nothing."""
    counts = Counts()
    for number in range(count):
        gate = fs.Gate()
        with workplace(lambda request, gate=gate: fs.delayed(fs.echo(request), until=gate), lines) as place:
            running = [place.start() for _ in range(processes)]
            with concurrent.futures.ThreadPoolExecutor(processes) as pool:
                ended = {pool.submit(process.communicate): process for process in running}
                losers = 0
                for future in concurrent.futures.as_completed(ended, timeout=120):
                    losers += ended[future].returncode == 75
                    if losers == processes - 1:  # nobody is answered before
                        gate.open()
            codes = sorted(process.returncode for process in running)
            broken = [] if codes == [0] + [75] * (processes - 1) else [f"they ended with {codes}"]
            found = check_promises(place.output, place.job, place.asked(), bound=0)
            counts.add("double start", found.repeats, 0, [*broken, *found.broken], f"start {number}")
    return counts


def file_size_limits(count: int, seed: int = 2) -> Counts:
    """A limit of the kernel on the size of a file: a real short count, then real errors. 74, and complete once it is lifted.

    What was in flight fits into no file that is there, but into the rescue file: nothing is bought again.
    """
    import resource

    rng, counts = random.Random(seed), Counts()
    for _ in range(count):
        limit = rng.randint((1 << 20) + 1000, (1 << 20) + 400_000)
        with workplace(fs.echo, 60, size=25_000) as place:
            code, said = place.run(prepare=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)))
            broken = [] if code == 74 else [f"ended with {code}: {said}"]
            kept = finished(place.output)
            if (place.output / "results.jsonl").stat().st_size > limit:
                broken.append("the limit was not in force")
            code, said = place.run()
            broken += [] if code == 0 else [f"the resumed run ended with {code}: {said}"]
            found = check_promises(place.output, place.job, place.asked(), bound=0, kept=kept)
            counts.add("file size", found.repeats, 0, [*broken, *found.broken], f"{limit} bytes")
    return counts
