"""How the run went over time: answers a second, requests in flight and their limit, refusals. From `series` in the summary."""

from __future__ import annotations

from itertools import pairwise

from batchllm.reports.html import charts
from batchllm.reports.html.figures import count, duration, rate
from batchllm.reports.html.markup import Markup, el
from batchllm.types import Json

BINS = 150
SHORTEST_S = 0.2


def timeline(series: list[Json]) -> Markup | None:
    """Two charts over one time axis, the pauses between runs left out; None where there is too little to draw."""
    points = _points(series)
    if len(points) < 4 or points[-1]["t"] < SHORTEST_S:
        return None
    return el("div", _throughput(points), _in_flight(points), class_="one")


def _points(series: list[Json]) -> list[dict[str, float]]:
    """The points of all runs one behind the other, totals going on where the run before left them."""
    made: list[dict[str, float]] = []
    for run in series:
        base = dict(made[-1]) if made else {}
        for at, t in enumerate(run["t"]):
            point = {name: run[name][at] + base.get(name, 0) for name in ("done", "failed", "refused")}
            tokens = max(0, run["tokens"][at] - run["tokens"][0]) + base.get("tokens", 0)
            point |= {"t": t + base.get("t", 0.0), "tokens": tokens}
            made.append(point | {"in_flight": run["in_flight"][at], "limit": run["limit"][at]})
    return [one for at, one in enumerate(made) if not at or one["t"] >= made[at - 1]["t"]]


def _throughput(points: list[dict[str, float]]) -> Markup:
    edges, totals = _binned(points)
    widths = [right - left for left, right in pairwise(edges)]
    rates = {name: [(b - a) / width for a, b, width in zip(row, row[1:], widths, strict=False)] for name, row in totals.items()}
    lines = [done + failed for done, failed in zip(rates["done"], rates["failed"], strict=True)]
    top = charts.nice(max(lines, default=1.0))
    titles = [
        f"{duration(left)}: {rate(value)} lines, {rate(tokens)} tokens" + (f", {rate(refused)} refused" if refused else "")
        for left, value, tokens, refused in zip(edges, lines, rates["tokens"], rates["refused"], strict=False)
    ]
    mean = (points[-1]["done"] + points[-1]["failed"]) / points[-1]["t"]
    drawn = [*charts.steps(edges, lines, top, "accent"), *charts.hovers(titles)]
    picture = charts.frame(
        drawn, [rate(top), rate(top / 2), "0"], _clock(points[-1]["t"]), f"lines done over time, {rate(mean)} on average"
    )
    return el("div", el("h3", f"Lines done · {rate(mean)} on average"), picture, class_="panel")


def _in_flight(points: list[dict[str, float]]) -> Markup:
    xs = [one["t"] for one in points]
    flying, limit = [one["in_flight"] for one in points], [one["limit"] for one in points]
    top = charts.nice(max(*limit, *flying, 1))
    edges, totals = _binned(points)
    refused = [b - a for a, b in zip(totals["refused"], totals["refused"][1:], strict=False)]
    most = max(refused, default=0)
    drawn = []
    if most:
        titles = [f"{duration(left)}: {round(value)} refused" for left, value in zip(edges, refused, strict=False)]
        drawn += charts.bars(refused, most * 3, "pale", titles)
    drawn += [charts.line(xs, limit, top, "calm", dashed=True), charts.line(xs, flying, top, "accent")]
    about = f"requests in flight, at most {round(max(flying))}; limit at most {round(max(limit))}"
    picture = charts.frame(drawn, [f"{top:g}", f"{top / 2:g}", "0"], _clock(xs[-1]), about, low=True)
    said = [el("span", "in flight", class_="accent"), el("span", "limit of the throttle")]
    if most:
        said.append(el("span", f"told to wait: {count(totals['refused'][-1])} in all", class_="warn"))
    return el("div", el("h3", "Requests in flight"), picture, el("p", said, class_="legend note"), class_="panel")


def _binned(points: list[dict[str, float]]) -> tuple[list[float], dict[str, list[float]]]:
    """Totals at evenly spaced times, between the points by a straight line."""
    end = points[-1]["t"]
    bins = max(2, min(BINS, len(points) - 1))
    edges = [end * at / bins for at in range(bins + 1)]
    totals: dict[str, list[float]] = {name: [] for name in ("done", "failed", "tokens", "refused")}
    at = 0
    for edge in edges:
        while at < len(points) - 2 and points[at + 1]["t"] < edge:
            at += 1
        left, right = points[at], points[at + 1]
        span = right["t"] - left["t"]
        part = min(1.0, max(0.0, (edge - left["t"]) / span)) if span > 0 else 1.0
        for name, row in totals.items():
            row.append(left[name] + (right[name] - left[name]) * part)
    return edges, totals


def _clock(end: float) -> list[str]:
    return [duration(end * at / 4) for at in range(5)]
