"""What each worker on a cluster did in the last run."""

from __future__ import annotations

from typing import Any

from batchllm.reports.html.figures import count
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.markup import Markup, el

SHOWN = 200
_NUMBERS = ("started", "lost", "requests", "answered", "failed", "tokens")


def workers(picture: Picture) -> Markup | None:
    """None for a run whose requests were sent by one process."""
    ray = picture.summary.get("ray")
    rows = ray.get("workers") if isinstance(ray, dict) else None
    if not isinstance(rows, list) or not rows:
        return None
    heads = ("Worker", "Node", "Started", "Lost", "Requests", "Answered", "Failed", "Tokens")
    body = [el("tr", [el("th", name) for name in heads]), [_row(row) for row in rows[:SHOWN] if isinstance(row, dict)]]
    more = f", {SHOWN} of {count(len(rows))}" if len(rows) > SHOWN else ""
    return el("section", el("h2", f"Workers, in the last run{more}"), el("div", el("table", body), class_="panel"))


def _row(row: dict[str, Any]) -> Markup:
    cells = [count(row.get(name)) for name in _NUMBERS]
    return el(
        "tr", el("td", row.get("worker")), el("td", el("bdi", row.get("node"))), [el("td", cell, class_="n") for cell in cells]
    )
