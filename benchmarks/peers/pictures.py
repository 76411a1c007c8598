"""The plots of the page, as SVG: the same figures give the same bytes. Needs matplotlib (the extra `peers`)."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.scenes import SCENES
from benchmarks.peers.table import OURS, WRK

Figures = dict[str, Any]
COLOR, OTHER = "#c2410c", "#64748b"


def draw(figures: Figures, docs: Path) -> dict[str, str]:
    """File names by picture; none where matplotlib is missing or nothing of the kind was measured."""
    try:
        import matplotlib as mpl
    except ImportError:
        return {}
    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "peers", "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False}
    )
    drawn = {"cpu": _cpu(figures, docs), "waiting": _waiting(figures, docs), "memory": _memory(figures, docs)}
    return {name: file for name, file in drawn.items() if file}


def _values(figures: Figures, scene: str, peer: str, one: Any) -> list[float]:
    found = [one(run) for run in figures["runs"] if run["scene"] == scene and run["peer"] == peer]
    return found if None not in found else []


def _cpu(figures: Figures, docs: Path) -> str | None:
    """A bar for each peer, ascending, with its spread; logarithmic, since they lie two orders of magnitude apart."""
    from matplotlib import pyplot

    from benchmarks.peers.page import cpu_us

    found = {peer: _values(figures, "plain", peer, cpu_us) for peer in figures["versions"]}
    rows = sorted(((median(values), min(values), max(values), peer) for peer, values in found.items() if values), reverse=True)
    if not rows:
        return None
    figure, axes = pyplot.subplots(figsize=(7.5, 0.42 * len(rows) + 1))
    middles = [row[0] for row in rows]
    errors = [[row[0] - row[1] for row in rows], [row[2] - row[0] for row in rows]]
    axes.barh([row[3] for row in rows], middles, xerr=errors, color=[COLOR if row[3] == OURS else OTHER for row in rows])
    for at, value in enumerate(middles):
        axes.text(value * 1.15, at, f"{value:,.0f}", va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlabel("CPU a request, µs (64 in flight, answers of 600 bytes)")
    return _saved(figure, docs, "peers-cpu.svg")


def _waiting(figures: Figures, docs: Path) -> str | None:
    from benchmarks.peers.page import share

    scenes = [scene for scene in SCENES if scene.kind == "waiting"]
    points = {
        peer: [
            (scene.concurrency, median(values))
            for scene in scenes
            if (values := _values(figures, scene.name, peer, share(scene)))
        ]
        for peer in figures["versions"]
        if peer != WRK
    }
    return _curves(points, docs, "peers-waiting.svg", "requests in flight", "share of the ideal, per cent")


def _memory(figures: Figures, docs: Path) -> str | None:
    scenes = [scene for scene in SCENES if scene.kind == "memory"]
    points = {
        peer: [
            (scene.lines, median(v))
            for scene in scenes
            if (v := _values(figures, scene.name, peer, lambda run: run["peak"] / 2**20))
        ]
        for peer in figures["versions"]
    }
    return _curves(points, docs, "peers-memory.svg", "lines", "memory at the peak, MiB", log=True)


def _curves(
    points: dict[str, list[tuple[int, float]]], docs: Path, name: str, x: str, y: str, *, log: bool = False
) -> str | None:
    """A line for each peer, ours in its own color, each named at its end."""
    from matplotlib import pyplot

    if not any(points.values()):
        return None
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2))
    for peer, pairs in points.items():
        if pairs:
            look: dict[str, Any] = {"linewidth": 2.4, "color": COLOR} if peer == OURS else {"linewidth": 1.2}
            axes.plot(*zip(*pairs, strict=True), marker="o", markersize=4, label=peer, **look)
    axes.set_xscale("log")
    if log:
        axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _saved(figure, docs, name)


def _saved(figure: Any, docs: Path, name: str) -> str:
    from matplotlib import pyplot

    figure.savefig(docs / name, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return name
