"""Pictures of numbers as SVG: pure functions. The drawing stretches with the page, its labels are text and do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from batchllm.reports.html.markup import Markup, el

WIDTH, HEIGHT = 1000, 100
_EDGE = 1e-9
Say = Callable[[float], str]


def nice(value: float) -> float:
    """The next of 1, 2, 2.5, 4, 5, 8, 10 times a power of ten at or above."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= value * (1 - _EDGE))


def frame(drawing: Sequence[Markup], up: Sequence[str], along: Sequence[str], about: str, *, low: bool = False) -> Markup:
    """A drawing with labels: `up` from the top to the bottom, `along` from left to right, both evenly spaced."""
    grid = [_rule(HEIGHT * at / max(1, len(up) - 1)) for at in range(len(up))]
    svg = el("svg", grid, drawing, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", role="img", aria_label=about)
    return el("figure", _labels("up", up), svg, _labels("along", along), class_="chart low" if low else "chart")


def _labels(where: str, texts: Sequence[str]) -> Markup:
    return el("div", [el("span", text) for text in texts], class_=f"ticks {where}")


def _rule(y: float) -> Markup:
    return el("line", x1=0, y1=_n(y), x2=WIDTH, y2=_n(y), class_="hair s-line")


def steps(edges: Sequence[float], values: Sequence[float], top: float, color: str) -> list[Markup]:
    """Values that hold from one edge to the next, as a filled outline. `edges` has one more than `values`."""
    first, span = edges[0], (edges[-1] - edges[0]) or 1.0
    points = []
    for at, value in enumerate(values):
        left, right = WIDTH * (edges[at] - first) / span, WIDTH * (edges[at + 1] - first) / span
        y = _n(HEIGHT - HEIGHT * value / top)
        points.append(f"{_n(left)},{y} {_n(right)},{y}")
    outline = " ".join(points)
    area = el("path", d=f"M0,{HEIGHT} L{outline} L{WIDTH},{HEIGHT} Z", class_="f-wash")
    return [area, el("path", d=f"M{outline}", class_=f"stroke s-{color}")]


def line(xs: Sequence[float], ys: Sequence[float], top: float, color: str, *, dashed: bool = False) -> Markup:
    """Points joined by straight lines."""
    first, span = xs[0], (xs[-1] - xs[0]) or 1.0
    points = [f"{_n(WIDTH * (x - first) / span)},{_n(HEIGHT - HEIGHT * y / top)}" for x, y in zip(xs, ys, strict=True)]
    return el("path", d="M" + " ".join(points), class_=f"stroke s-{color}{' dash' if dashed else ''}")


def bars(heights: Sequence[float], top: float, color: str, titles: Sequence[str]) -> list[Markup]:
    """Bars side by side, each with what it says on hovering."""
    width = WIDTH / max(1, len(heights))
    made = []
    for at, (value, title) in enumerate(zip(heights, titles, strict=True)):
        if value:
            high = max(HEIGHT * value / top, 0.6)
            x, y = _n(at * width + width * 0.06), _n(HEIGHT - high)
            made.append(_box(x, y, _n(width * 0.88), _n(high), f"f-{color}", title))
    return made


def hovers(titles: Sequence[str]) -> list[Markup]:
    """Bands over the whole height that say something on hovering."""
    width = WIDTH / max(1, len(titles))
    return [_box(_n(at * width), "0", _n(width), str(HEIGHT), "hover", title) for at, title in enumerate(titles)]


def marker(share: float, color: str = "ink") -> Markup:
    """An upright line at this share of the width."""
    x = _n(WIDTH * share)
    return el("line", x1=x, y1=0, x2=x, y2=HEIGHT, class_=f"hair dash s-{color}")


def bar(share: float, color: str) -> Markup:
    """A bar lying in a cell of a table."""
    drawn = el("rect", x=0, y=0, width=_n(max(WIDTH * share, 4)), height=HEIGHT, class_=f"f-{color}")
    return el("svg", drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", aria_hidden="true")


def stack(parts: Sequence[tuple[float, str]], about: str) -> Markup:
    """One lying bar cut into parts of (size, color)."""
    whole = sum(size for size, _ in parts) or 1.0
    x, made = 0.0, [el("rect", x=0, y=0, width=WIDTH, height=HEIGHT, class_="f-line")]
    for size, color in parts:
        if size:
            width = WIDTH * size / whole
            made.append(el("rect", x=_n(x), y=0, width=_n(max(width, 3)), height=HEIGHT, class_=f"f-{color}"))
            x += width
    return el(
        "svg", made, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none", class_="whole", role="img", aria_label=about
    )


def _box(x: str, y: str, width: str, height: str, class_: str, title: str) -> Markup:
    attributes = f'x="{x}" y="{y}" width="{width}" height="{height}" class="{class_}"'
    return Markup(f"<rect {attributes}>{el('title', title)}</rect>")


def _n(value: float) -> str:
    """A coordinate: a finite number with one place."""
    return f"{value:.1f}".removesuffix(".0") if math.isfinite(value) else "0"
