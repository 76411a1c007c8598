"""A run whose event loop stands still is ended, so that it does not keep its folder locked for ever.

Nothing that is kept is at stake: the records are on the disk, the lock is the kernel's, and the same command goes on.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchllm.errors import ExitCode
from batchllm.terminal import say

TICK_S = 5.0
PATIENCE_TICKS = 120
"""Ten minutes: no step of a run keeps the loop for a hundredth of that."""


class Vigil:
    """Counts ticks without a sign of life. A stopped process (Ctrl-Z, a laptop asleep) has no ticks: it is not overdue."""

    def __init__(self, patience: int = PATIENCE_TICKS) -> None:
        self._patience = patience
        self._silent = 0

    def alive(self) -> None:
        self._silent = 0

    def tick(self) -> bool:
        """One tick more; whether it has been silent for too long."""
        self._silent += 1
        return self._silent > self._patience


def end() -> None:
    """Say where it hangs, and end the process at once: of what hangs nothing can be asked."""
    minutes = TICK_S * PATIENCE_TICKS / 60
    say(f"batchllm: the run has not moved for {minutes:g} minutes and is ended; every answer is kept, the same command goes on")
    if logging.getLogger("batchllm").isEnabledFor(logging.DEBUG):
        faulthandler.dump_traceback(sys.stderr)
    os._exit(ExitCode.SOFTWARE)


@contextmanager
def watched(
    loop: asyncio.AbstractEventLoop, vigil: Vigil, overdue: Callable[[], None] = end, tick_s: float = TICK_S
) -> Iterator[None]:
    """Asks the loop for a sign of life at every tick, from a thread; calls `overdue` there, once, if none comes."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(tick_s):
            if vigil.tick():
                overdue()
                return
            loop.call_soon_threadsafe(vigil.alive)

    thread = threading.Thread(target=watch, name="batchllm-watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
