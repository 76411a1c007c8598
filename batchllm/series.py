"""How a run went over time: a few hundred points, however long it takes. Pure; seconds since the run began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchllm.types import Json

POINTS = 600
"""The most points kept of one run, and of all runs into a folder together."""
RUNS = 30
FIRST_STEP_S = 0.02
COLUMNS = ("t", "done", "failed", "tokens", "refused", "in_flight", "limit")


@dataclass(frozen=True, slots=True)
class Point:
    """Where a run stands at one moment. `done`, `failed`, `tokens` and `refused` are totals, the others momentary."""

    t: float
    done: int
    failed: int
    tokens: int
    refused: int
    in_flight: int
    limit: int


class Series:
    """Points at least `step` apart. Where there are too many, every second one goes and `step` doubles."""

    def __init__(self) -> None:
        self._step = FIRST_STEP_S
        self._next = 0.0
        self._points: list[Point] = []

    def due(self, t: float) -> bool:
        """Whether another point is wanted: asked after every request, so that no timer is needed."""
        return t >= self._next

    def add(self, point: Point) -> None:
        self._points.append(point)
        if len(self._points) > POINTS:
            self._points = thinned(self._points)
            self._step *= 2
        self._next = point.t + self._step

    def as_json(self, at: str) -> Json | None:
        """One list for each column, and `at`, when the run began; None for a run in which nothing happened."""
        points = self._points
        if len(points) < 2 or points[-1].done + points[-1].failed + points[-1].refused == 0:
            return None
        columns: Json = {name: [getattr(point, name) for point in points] for name in COLUMNS}
        return {"at": at, **columns, "t": [round(t, 3) for t in columns["t"]]}


def thinned(points: list[Any]) -> list[Any]:
    """Every second one, with the first and the last."""
    kept = points[::2]
    return kept if len(points) % 2 or not points else [*kept, points[-1]]


def joined(earlier: Any, now: Json | None) -> list[Json]:
    """The series of earlier runs, as a summary has them, and this one behind them: the last `RUNS`, `POINTS` in all."""
    runs = [one for one in earlier if is_series(one)] if isinstance(earlier, list) else []
    runs = [*runs, *([now] if now else [])][-RUNS:]
    while sum(len(one["t"]) for one in runs) > POINTS and any(len(one["t"]) > 3 for one in runs):
        runs = [{**one, **{name: thinned(one[name]) for name in COLUMNS}} for one in runs]
    return runs


def is_series(value: Any) -> bool:
    """Whether this is what `as_json` makes; a summary may have been edited, or be another version's."""
    if not isinstance(value, dict) or not isinstance(value.get("at"), str):
        return False
    columns = [value.get(name) for name in COLUMNS]
    if not all(isinstance(column, list) and len(column) == len(value["t"]) for column in columns):
        return False
    return all(type(number) in (int, float) for column in columns for number in column or ())
