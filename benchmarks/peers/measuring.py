"""One run of one peer: a process of its own with all its children, bounded in time, its answers counted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environments import Ready, Tools
from benchmarks.peers.scenes import Scene
from benchmarks.peers.table import BARE, OURS, SCRIPTS, WRK, Peer
from benchmarks.processes import bare_command, batchllm_command, environment

LONGEST_S = 600.0
WRK_S = 3
_LUA = """\
wrk.method = "POST"
wrk.body = '{"model": "instant", "messages": [{"role": "user", "content": "' .. string.rep("x", %d) .. '"}], "max_tokens": 200}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer none"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of CPU and of the clock, bytes at the peak, lines that were answered."""

    cpu_s: float
    wall_s: float
    peak: int
    answered: int


class FailedError(RuntimeError):
    """A peer that did not come to its end, or not with every line; says how in a few words."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one run has to do: `lines` of `job` in `folder`, at `base_url`."""

    scene: Scene
    job: Path
    lines: int
    folder: Path
    base_url: str
    variables: Mapping[str, str]


def run(peer: Peer, ready: Ready, tools: Tools, task: Task) -> Run:
    """Do it. Raises `FailedError`; a peer that answers fewer lines than it was given has failed too."""
    out = task.folder / "out"
    if peer.name == WRK:
        return _wrk(tools, task)
    cpu_s, wall_s, peak, _ = _process(_command(peer, ready, task, out), task)
    answered = _count(out / "results.jsonl" if peer.name == OURS else out)
    if answered != task.lines:
        raise FailedError(f"answered {answered:,} of {task.lines:,} lines")
    return Run(cpu_s, wall_s, peak, answered)


def _command(peer: Peer, ready: Ready, task: Task, out: Path) -> list[str]:
    scene = task.scene
    if peer.name == OURS:
        more = ["--stream"] if scene.streams else []
        return batchllm_command(task.job, out, task.base_url, scene.concurrency, *more)
    if peer.name == BARE:
        return bare_command(task.job, out, task.base_url, scene.concurrency)
    more = ["--stream"] if scene.streams else []
    given = [str(task.job), str(out), task.base_url, str(scene.concurrency)]
    return [ready.python, str(SCRIPTS / peer.script), *given, *peer.arguments, *more]


def _count(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def _wrk(tools: Tools, task: Task) -> Run:
    """As many requests as it gets through in a few seconds; it knows no number of them."""
    assert tools.wrk is not None
    script = task.folder / "post.lua"
    script.write_text(_LUA % task.scene.prompt_bytes)
    command = [
        tools.wrk,
        "-t1",
        f"-c{task.scene.concurrency}",
        f"-d{WRK_S}s",
        "-s",
        str(script),
        f"{task.base_url}/chat/completions",
    ]
    cpu_s, wall_s, peak, said = _process(command, task, {"LD_LIBRARY_PATH": tools.libraries})
    found = re.search(r"(\d+) requests in", said)
    if found is None:
        raise FailedError(said[-200:])
    return Run(cpu_s, wall_s, peak, int(found[1]))


def _process(command: Sequence[str], task: Task, more: Mapping[str, str] | None = None) -> tuple[float, float, int, str]:
    """CPU of the process and the children it waited for, seconds, peak, and what it said."""
    variables = {**environment(), **task.variables, **(more or {})}
    with (task.folder / "said").open("w+b") as said:
        begun = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=task.folder, env=variables, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
        watch = threading.Timer(LONGEST_S, _end, [child.pid])
        watch.start()
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - begun
        watch.cancel()
        _end(child.pid)  # what it left behind
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    if child.returncode:
        why = (
            f"took longer than {LONGEST_S:g} s" if wall_s >= LONGEST_S else f"ended with {child.returncode}: {_last_line(text)}"
        )
        raise FailedError(why)
    unit = 1 if sys.platform == "darwin" else 1024
    return used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss * unit, text


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
