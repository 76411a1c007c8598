"""An event loop whose clock jumps: where it would wait, its time is simply later. Hours of waiting take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_S = 1000.0
"""A loop's clock starts anywhere but at zero, so that nobody takes zero for "never"."""


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """Runs timers in their order and at their exact times; knows no files, sockets or signals.

    Work for a thread is done at once. Raises RuntimeError where everything waits and no timer is left: nothing would
    ever happen again.
    """

    def __init__(self) -> None:
        self._clock = _Jump()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def jump(self, seconds: float) -> None:
        """Move the clock past timers that were due, as waking from a suspend does."""
        self._clock.now += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # it belongs to whoever awaits the work
            future.set_exception(error)
        return future


class _Jump(selectors.SelectSelector):
    """Waits for no file: a wait moves the clock instead."""

    now = START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits and no timer is left")
        if timeout > 0:
            self.now += timeout
        return []


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a `VirtualClockLoop`."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main)
