"""What each endpoint of several did in the last run."""

from __future__ import annotations

from typing import Any

from batchllm.reports.html.figures import count, duration
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.markup import Markup, el

_NUMBERS = ("requests", "answered", "refused", "failed", "tokens")


def endpoints(picture: Picture) -> Markup | None:
    """None for a run that went to one endpoint."""
    rows = picture.summary.get("endpoints")
    if not isinstance(rows, list) or not rows:
        return None
    heads = ("Endpoint", "Requests", "Answered", "Told to wait", "Failed", "Tokens", "Median", "90 %", "In flight")
    body = [el("tr", [el("th", name) for name in heads]), [_row(row) for row in rows if isinstance(row, dict)]]
    return el("section", el("h2", "Endpoints, in the last run"), el("div", el("table", body), class_="panel"))


def _row(row: dict[str, Any]) -> Markup:
    state, latency = row.get("state"), row.get("latency_s") or {}
    lost = [el("br"), el("span", state, class_="soft")] if state != "in use" else None
    cells = [count(row.get(name)) for name in _NUMBERS] + [duration(latency.get("p50")), duration(latency.get("p90"))]
    cells.append(f"up to {count(row.get('limit'))}")
    return el("tr", el("td", el("bdi", row.get("endpoint")), lost), [el("td", cell, class_="n") for cell in cells])
