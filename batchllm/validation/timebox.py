"""A bound on code that is not ours: a validator that never returns must not stop the run.

Uses the process's real-time interval timer, so it works where Python code can be interrupted: on the main
thread of a Unix process. `re` looks for signals while it matches; compiled code that does not runs on.
Elsewhere the block has no bound.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class TimeUp(BaseException):
    """The block took too long. No `Exception`, so that a validator's own `except Exception` lets it pass."""


class time_limit:  # noqa: N801 -- used like contextlib's lower-case managers
    """Raises `TimeUp` inside the block once `seconds` have passed; never outside it. Blocks do not nest.

    The previous handler and whatever was left on the timer are put back.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running = False
        self._handler: Any = None
        self._timer = (0.0, 0.0)

    def __enter__(self) -> Self:
        if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGALRM, self._fire)
            self._running = True
            self._timer = signal.setitimer(signal.ITIMER_REAL, self._seconds)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._running:
            self._disarm()

    def _fire(self, number: int, frame: FrameType | None) -> None:
        if not self._running:
            return
        # Disarmed here too: the signal may come on entering __exit__, which then never runs.
        self._disarm()
        raise TimeUp

    def _disarm(self) -> None:
        self._running = False
        signal.setitimer(signal.ITIMER_REAL, *self._timer)
        signal.signal(signal.SIGALRM, self._handler)
