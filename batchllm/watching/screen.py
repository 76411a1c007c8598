"""The live view of a run, drawn with rich (extra `ui`) from the facts of `watching.facts`: in `run --ui` and in `batchllm top`."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batchllm.endings import duration
from batchllm.terminal import harmless
from batchllm.types import Json
from batchllm.watching.facts import Recent, facts

EVERY_S = 0.5
SHOWN = 6
LABELS = (10, 9, 10)
"""Widths of the names of figures: values give way on a narrow terminal."""
_STYLES = {"running": "bold green", "paused": "bold yellow", "draining": "bold magenta", "ended": "bold"}


class Dashboard:
    """Draws a run of this process on a terminal, below what else is said there; it is gone when the run ends."""

    every_s = EVERY_S

    def __init__(self, recent: Recent, console: Console) -> None:
        self._recent = recent
        self._console = console
        self._live: Live | None = None

    def draw(self) -> None:
        run = self._recent.run
        if run is None:
            return
        try:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
                self._live.start()
            self._live.update(screen(facts(run, self._recent)), refresh=True)
        except (OSError, ValueError):  # a terminal that is gone
            self._live = None
            self._recent = Recent()

    def close(self) -> None:
        if self._live is not None:
            try:
                self._live.stop()
            except (OSError, ValueError):
                return


def screen(told: Json) -> RenderableType:
    """One picture of a run, whatever its texts hold."""
    parts: list[RenderableType] = [_progress(told), _figures(told)]
    if told["waits_for"]:
        parts.append(Text(f"waits for {'; '.join(map(clean, told['waits_for']))}", style="yellow"))
    if told.get("workers"):
        parts += [Text(), _workers(told["workers"])]
    if told["troubles"]:
        parts += [Text(), _troubles(told["troubles"])]
    if told["slowest"]:
        parts += [Text(), _slowest(told["slowest"])]
    mark = "SIMULATED · " if told["simulated"] else ""
    title = Text(f"{mark}{clean(told['job'])} → {clean(told['endpoint'])} ({clean(told['model'] or 'model per line')})")
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim")


def clean(value: Any) -> str:
    """Foreign text as it may stand on a line of a terminal: no control characters, no line ends."""
    return harmless(str(value)).replace("\n", "\\n").replace("\t", " ")


def _progress(told: Json) -> RenderableType:
    counts = told["request_counts"]
    done = counts["completed"] + counts["failed"]
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    share = f"{100 * done / max(1, counts['total']):.1f} %"
    left = told["seconds_left"]
    when = f"{duration(told['seconds'])}, {duration(left)} to go" if left is not None else duration(told["seconds"])
    state = Text(told["state"], style=_STYLES.get(told["state"], ""))
    line.add_row(state, ProgressBar(total=max(1, counts["total"]), completed=done), Text(f"{share} · {when}"))
    return line


def _figures(told: Json) -> RenderableType:
    counts, usage, latency = told["request_counts"], told["usage"], told["latency_s"]
    table = Table.grid(padding=(0, 2))
    for width in LABELS:
        table.add_column(style="dim", no_wrap=True, min_width=width)
        table.add_column(no_wrap=True, overflow="ellipsis")
    retries = sum(told["retries"].values())
    cost = "unknown" if told["cost_usd"] is None else f"${told['cost_usd']:.4f}"
    pace = "" if told["pace_per_s"] is None else f", learned {told['pace_per_s']:g}/s"
    limits = "".join(f", {name} {told[name]:g}" for name in ("rpm", "tpm") if told[name])
    rows = (
        ("answered", f"{counts['completed']:,}", "in flight", f"{told['in_flight']} of {told['limit']}", "tokens in", _tokens(usage, "prompt")),
        ("failed", f"{counts['failed']:,}", "limits", f"{told['concurrency']}{limits}{pace}", "tokens out", _tokens(usage, "completion")),
        ("pending", f"{counts['pending']:,}", "waiting", f"{told['waiting']:,} retries", "cost", cost),
        ("requests/s", f"{told['requests_per_s']:.1f}", "retries", f"{retries:,}", "latency", _latency(latency)),
        ("tokens/s", f"{told['tokens_per_s']:,.0f}", "until", told["until"] or "–", "process", str(told["pid"])),
    )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    return table


def _tokens(usage: Json, kind: str) -> str:
    count = usage.get(f"{kind}_tokens")
    return "unknown" if count is None else f"{count:,}"


def _latency(latency: Json) -> str:
    if latency.get("p50") is None:
        return "–"
    return f"{latency['p50']:g} s, p99 {latency['p99']:g} s"


def _workers(workers: list[Json]) -> RenderableType:
    """Those that are not at work first: of many not all can be shown."""
    more = f", {SHOWN} of {len(workers)}" if len(workers) > SHOWN else ""
    table = Table(title=f"workers{more}", title_justify="left", box=None, padding=(0, 1))
    for name in ("", "node", "in flight", "requests", "answered", "failed", "lost"):
        table.add_column(
            name, no_wrap=True, style="dim" if name in ("", "node") else "", justify="left" if name == "node" else "right"
        )
    for one in sorted(workers, key=lambda one: one["in_flight"] is not None)[:SHOWN]:
        flying = "not at work" if one["in_flight"] is None else f"{one['in_flight']:,}"
        numbers = (f"{one[name]:,}" for name in ("requests", "answered", "failed", "lost"))
        table.add_row(*(Text(clean(cell)) for cell in (one["worker"], one["node"] or "–", flying, *numbers)))
    return table


def _troubles(troubles: list[Json]) -> RenderableType:
    table = Table(title="what came to no answer, the last first", title_justify="left", box=None, padding=(0, 1), expand=True)
    for name in ("at", "line", "code"):
        table.add_column(name, no_wrap=True, style="dim")
    table.add_column("message", ratio=1, no_wrap=True, overflow="ellipsis")
    for one in troubles[::-1][:SHOWN]:
        end = "" if one["final"] else f" (again after {one.get('wait_s') or 0:g} s)"
        cells = (one["at"][11:19], one.get("line"), one.get("code"), f"{one.get('message')}{end}")
        table.add_row(*(Text(clean(cell), style="red" if one["final"] else "") for cell in cells))
    return table


def _slowest(slowest: list[Json]) -> RenderableType:
    table = Table(title="slowest requests", title_justify="left", box=None, padding=(0, 1))
    for name in ("seconds", "line", "custom_id"):
        table.add_column(name, no_wrap=True, style="dim")
    for one in slowest:
        table.add_row(*(Text(clean(cell)) for cell in (f"{one['latency_s']:.2f}", one["line"], one["custom_id"][:60])))
    return table
