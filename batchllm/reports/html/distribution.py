"""How long requests took: bars over a logarithmic axis, with the median and the slow ends."""

from __future__ import annotations

import math

from batchllm.reports.html import charts
from batchllm.reports.html.figures import count, counted, duration
from batchllm.reports.html.markup import Markup, el
from batchllm.tally import Histogram

MOST_BINS = 44
_SHARES = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))


def distribution(times: Histogram, what: str) -> Markup | None:
    """A chart of all these durations; None where there are none."""
    if not times.count:
        return None
    values = times.values()
    low, high = math.log(values[0][0] * 0.98), math.log(values[-1][0] * 1.02)
    if high - low < 0.5:
        low, high = low - 0.3, high + 0.3
    many = min(MOST_BINS, 8 + round(1.5 * math.sqrt(times.count)))
    width = (high - low) / many
    bins = [0] * many
    for value, number in values:
        bins[min(many - 1, int((math.log(value) - low) / width))] += number
    edges = [math.exp(low + width * at) for at in range(many + 1)]
    titles = [f"{duration(edges[at])} to {duration(edges[at + 1])}: {number:,}" for at, number in enumerate(bins)]
    top = charts.nice(max(bins))
    known = [(name, found) for share, name in _SHARES if (found := times.percentile(share)) is not None]
    drawn = [
        *charts.bars(bins, top, "accent", titles),
        *(charts.marker((math.log(value) - low) / (high - low)) for _, value in known),
    ]
    along = [duration(math.exp(low + (high - low) * at / 4)) for at in range(5)]
    said = ", ".join(f"{name} {duration(value)}" for name, value in known)
    picture = charts.frame(drawn, [count(top), "", "0"], along, f"{what}: {said}")
    numbers = [el("span", name, " ", el("b", duration(value)), class_="none") for name, value in known]
    return el(
        "div",
        el("h3", f"{what} · {counted(times.count, 'request')}"),
        picture,
        el("p", numbers, class_="legend note"),
        class_="panel",
    )
