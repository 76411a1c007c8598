"""`docs/peers.md` and its pictures, from the figures that were measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.peers import pictures
from benchmarks.peers.scenes import SCENES, Scene
from benchmarks.peers.table import OURS, PEERS, WRK
from benchmarks.processes import Spread

Figures = dict[str, Any]
Runs = list[dict[str, Any]]

HEAD = """\
# Beside other tools

Written by `python -m benchmarks.peers`{quick}.

Every peer runs in an environment of its own, as its documentation says a batch is run, as a whole process with its children;
all do the same job against the same server, one after the other, round by round, so that what else the machine does falls on
all. Figures are the median of the rounds (lowest to highest); the cost of starting is measured in each round by a job of one
line and taken off where a figure is for each request.

The server is nginx with one fixed answer, an ordinary process on the same machine: it costs less than any client, and favours
none. Where answers are late, it is a loop of our own that does nothing else. Slow peers get fewer of the lines, but
where memory is measured, and the slow ones take no part at 20,000 lines or more. Measured on: {machine}.

| peer | version | how it is run |
|---|---|---|
"""
MISSING = """
Could not be set up:

"""
NOTES = """
## How to read it

* Tools differ in what they do for each request. batchllm writes every record at once and forces it to disk in groups, checks,
  retries, bounds every wait and resumes; the bare loop does nothing of it; `wrk` does not even read the answer. The openai client and
  those built on it make a pydantic object of each answer.
* A peer that lost lines, did not end within ten minutes, or ended in an error has no figure, and is named with what it said.
* A dash where others have a figure: the whole job differs from one of a single line by less than a quarter, which tells nothing.
* CPU is user and system time of the process and of the children it has waited for.
"""


def write(figures: Figures, docs: Path) -> None:
    docs.mkdir(parents=True, exist_ok=True)
    drawn = pictures.draw(figures, docs)
    (docs / "peers.md").write_text("\n".join(_lines(figures, drawn)) + "\n", encoding="utf-8")


def _lines(figures: Figures, drawn: dict[str, str]) -> Iterable[str]:
    quick = (
        ", in its quick mode, on a machine that did much else: too few lines and rounds to hold anybody to"
        if figures["quick"]
        else ""
    )
    yield HEAD.format(quick=quick, machine=figures["machine"]).rstrip("\n")
    for peer in PEERS:
        if peer.name in figures["versions"]:
            yield f"| {peer.name} | {figures['versions'][peer.name] or '-'} | {peer.told} |"
    if figures["missing"]:
        yield MISSING.rstrip("\n") + "\n"
        yield from (f"* {name}: {why}" for name, why in figures["missing"].items())
    yield from _work(figures, drawn)
    yield from _waiting(figures, drawn)
    yield from _memory(figures, drawn)
    yield from _start(figures)
    if figures["failures"]:
        yield "\n## What failed\n"
        yield from (f"* {one['peer']}, {one['scene']}: {one['why']}" for one in figures["failures"])
    yield NOTES.rstrip("\n")


LEAST = 0.25
"""A job that takes less than so much of its start more than that has told nothing of its requests."""


def cpu_us(run: dict[str, Any]) -> float | None:
    """Microseconds of CPU a request, without the start; None where the start's own scatter hides it."""
    own = run["cpu_s"] - run["start_cpu_s"]
    return own / run["lines"] * 1e6 if own > LEAST * run["start_cpu_s"] else None


def rate(run: dict[str, Any]) -> float | None:
    """Requests a second by the clock, without the start; None where the start's own scatter hides it."""
    own = run["wall_s"] - run["start_wall_s"]
    return run["lines"] / own if own > LEAST * run["start_wall_s"] else None


def share(scene: Scene) -> Callable[[dict[str, Any]], float]:
    """The ideal time, every slot always waiting for an answer, as a part of the time that was taken: per cent."""

    def of(run: dict[str, Any]) -> float:
        ideal = run["lines"] * scene.latency_ms / 1000 / scene.concurrency
        taken = run["wall_s"] - run["start_wall_s"] + scene.latency_ms / 1000
        return float(100 * ideal / taken)

    return of


def spread(runs: Runs, one: Callable[[dict[str, Any]], float | None], form: str) -> str:
    """The figure of these runs; where one of them has told nothing, neither has the figure."""
    values = [one(run) for run in runs]
    told = [value for value in values if value is not None]
    return Spread.of(told).shown(form) if told and len(told) == len(values) else "-"


def middle(runs: Runs, one: Callable[[dict[str, Any]], float | None]) -> float | None:
    values = [value for run in runs if (value := one(run)) is not None]
    return Spread.of(values).middle if values and len(values) == len(runs) else None


def of(figures: Figures, scene: Scene, peer: str) -> Runs:
    return [run for run in figures["runs"] if run["scene"] == scene.name and run["peer"] == peer]


def _scenes(figures: Figures, kind: str) -> list[Scene]:
    measured = {run["scene"] for run in figures["runs"]}
    return [scene for scene in SCENES if scene.kind == kind and scene.name in measured]


def _lines_of(figures: Figures, scene: Scene) -> int:
    """How many lines were run: fewer in the quick mode."""
    return max(int(run["lines"]) for run in figures["runs"] if run["scene"] == scene.name)


def _picture(drawn: dict[str, str], name: str, told: str) -> Iterable[str]:
    if name in drawn:
        yield f"![{told}]({drawn[name]})\n"


def _work(figures: Figures, drawn: dict[str, str]) -> Iterable[str]:
    scenes = _scenes(figures, "work")
    if scenes:
        yield "\n## CPU a request\n"
        yield from _picture(drawn, "cpu", "CPU a request by peer")
    for scene in scenes:
        yield f"### {scene.told}\n"
        yield f"| peer | CPU a request, µs | times {OURS} | requests a second |"
        yield "|---|---|---|---|"
        base = middle(of(figures, scene, OURS), cpu_us)
        for peer in figures["versions"]:
            runs = of(figures, scene, peer)
            if not runs:
                continue
            own = middle(runs, cpu_us)
            times = f"{own / base:.2f}" if base and own else "-"
            yield f"| {peer} | {spread(runs, cpu_us, '{:,.0f}')} | {times} | {spread(runs, rate, '{:,.0f}')} |"
        yield ""


def _waiting(figures: Figures, drawn: dict[str, str]) -> Iterable[str]:
    scenes = _scenes(figures, "waiting")
    if not scenes:
        return
    yield "## Waiting for answers of 200 ms: share of the ideal, per cent\n"
    yield from _picture(drawn, "waiting", "share of the ideal by requests in flight")
    yield "| peer | " + " | ".join(f"{scene.concurrency:,} in flight" for scene in scenes) + " |"
    yield "|---" * (len(scenes) + 1) + "|"
    for peer in figures["versions"]:
        if peer != WRK:
            yield f"| {peer} | " + " | ".join(spread(of(figures, one, peer), share(one), "{:.0f}") for one in scenes) + " |"
    yield ""


def _memory(figures: Figures, drawn: dict[str, str]) -> Iterable[str]:
    scenes = _scenes(figures, "memory")
    if not scenes:
        return
    yield "## Memory at the peak, MiB\n"
    yield from _picture(drawn, "memory", "peak memory by lines")
    yield "| peer | " + " | ".join(f"{_lines_of(figures, scene):,} lines" for scene in scenes) + " |"
    yield "|---" * (len(scenes) + 1) + "|"
    for peer in figures["versions"]:
        cells = [spread(of(figures, one, peer), lambda run: run["peak"] / 2**20, "{:,.0f}") for one in scenes]
        if any(cell != "-" for cell in cells):
            yield f"| {peer} | " + " | ".join(cells) + " |"
    yield ""


def _start(figures: Figures) -> Iterable[str]:
    yield "## Start: a job of one line, seconds by the clock and of CPU\n"
    yield "| peer | clock | CPU |"
    yield "|---|---|---|"
    for peer in figures["versions"]:
        runs = [run for run in figures["runs"] if run["peer"] == peer and peer != WRK]
        if runs:
            clock, cpu = (spread(runs, lambda run, key=key: run[key], "{:.2f}") for key in ("start_wall_s", "start_cpu_s"))  # type: ignore[misc]
            yield f"| {peer} | {clock} | {cpu} |"
