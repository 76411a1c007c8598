"""How a run shows itself: a bar on a terminal, a plain line every 30 s elsewhere.

It is drawn in a thread of its own, which only looks at the run: a terminal that takes no more (Ctrl-S, a pipe that nobody
reads) stops the drawing and nothing else.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

from batchllm.engines.engine import Forwarding
from batchllm.reports.summary import counts
from batchllm.terminal import say

if TYPE_CHECKING:
    from batchllm.pipeline import Run

BAR_S = 0.2
LINE_S = 30.0
BAR_FORMAT = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
LAST_WORD_S = 1.0
"""How long the end of a run waits for a terminal to take the last drawing."""


def figures(run: Run, failed: int) -> dict[str, str]:
    """What a bar or a line says beside done and total; `failed` counts earlier runs too, as done does."""
    tally, pool = run.tally, run.pool
    wall = max(time.monotonic() - run.started, 1e-6)
    tokens = tally.usage.total_tokens or (tally.usage.prompt_tokens or 0) + (tally.usage.completion_tokens or 0)
    shown = {
        "failed": str(failed),
        "in flight": f"{pool.in_flight}/{pool.throttle.limiter.limit}" if pool else "0",
        "retries": str(sum(tally.retries.values())),
        "tokens": tqdm.format_sizeof(tokens) if tokens else "0",
        "req/s": f"{(tally.done + tally.failed) / wall:.1f}",
    }
    if pool is not None and pool.parked:
        shown["waiting"] = str(pool.parked)
    if isinstance(pool, Forwarding):
        workers = pool.workers()
        shown["workers"] = f"{sum(one['in_flight'] is not None for one in workers)}/{len(workers)}"
    if tally.cost_usd:
        shown["cost"] = f"${tally.cost_usd:.4f}"
    return shown


class View(Protocol):
    """Draws the run every so many seconds, and once more at its end."""

    every_s: float

    def draw(self) -> None: ...

    def close(self) -> None: ...


class Bar:
    """A tqdm bar on stderr."""

    every_s = BAR_S

    def __init__(self, run: Run) -> None:
        self.run = run
        before = counts(run.survey.index)
        self._bar = tqdm(
            total=before["total"],
            initial=before["completed"] + before["failed"],
            unit="",
            bar_format=BAR_FORMAT,
            dynamic_ncols=True,
            file=sys.stderr,
            smoothing=0.05,
        )
        self._initial = self._bar.n
        self._failed = before["failed"]

    def draw(self) -> None:
        try:
            tally = self.run.tally
            self._bar.n = self._initial + tally.done + tally.failed
            shown = figures(self.run, self._failed + tally.failed)
            del shown["req/s"]  # the bar has its own, of late
            self._bar.set_postfix_str(", ".join(f"{value} {name}" for name, value in shown.items()), refresh=False)
            self._bar.refresh()
        except (OSError, ValueError):
            self._bar.disable = True

    def close(self) -> None:
        self.draw()
        self._bar.close()


class Lines:
    """One plain line every 30 s, for logs."""

    every_s = LINE_S

    def __init__(self, run: Run) -> None:
        self.run = run

    def draw(self) -> None:
        say(self.line())

    def close(self) -> None:
        """The closing table says the rest."""

    def line(self) -> str:
        run = self.run
        index = counts(run.survey.index)
        done = run.tally.done + run.tally.failed
        wall = max(time.monotonic() - run.started, 1e-6)
        left = run.pending / (done / wall) if done else None
        eta = f", ETA {tqdm.format_interval(left)}" if left is not None else ""
        shown = ", ".join(f"{value} {name}" for name, value in figures(run, index["failed"]).items())
        return f"{time.strftime('%H:%M:%S')} {index['completed']}/{index['total']} done, {shown}{eta}"


@contextmanager
def shown(run: Run, *, quiet: bool, view: View | None = None) -> Iterator[None]:
    """Show the run while the block lasts: by `view`, else in the way that fits this stderr; not at all if it is to be quiet."""
    view = None if quiet else view or _view(run)
    if view is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(run, view, ended), name="batchllm-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LAST_WORD_S)


def _watch(run: Run, view: View, ended: threading.Event) -> None:
    while not ended.wait(view.every_s):
        if not run.canary.asking:
            view.draw()
    view.close()


def _view(run: Run) -> Bar | Lines | None:
    try:
        terminal = sys.stderr.isatty()
    except (OSError, ValueError, AttributeError):
        return None
    return Bar(run) if terminal else Lines(run)
