"""An event loop whose clock jumps over idle time, while its sockets are real ones.

Where nothing comes from the kernel within a moment, the clock goes on to the next timer: a wait of an hour takes
milliseconds, and everything that was promised about waits can be measured in the loop's own time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

GRACES_S = ((1.0, 0.002), (10.0, 0.004), (float("inf"), 0.02))
"""What real I/O (loopback packets, threads) gets before the clock jumps, by the jump: more before a long one."""
THREADS_S = 0.05


class _Selector(selectors.DefaultSelector):
    """Waits really for a moment only, then says how much of the wait is to be jumped."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped = 0.0
        self.threads = 0
        """Work of the loop's that threads have not ended yet: while there is any, the clock does not jump."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self.threads:
            return super().select(min(timeout, THREADS_S))
        grace = next(grace for longest, grace in GRACES_S if timeout < longest)
        found = super().select(min(timeout, grace))
        if not found and timeout > grace:
            self.jumped += timeout - grace
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._idle = _Selector()
        super().__init__(self._idle)

    def time(self) -> float:
        return super().time() + self._idle.jumped

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._idle.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: object) -> None:
        self._idle.threads -= 1

    def jump(self, seconds: float) -> None:
        """As if the machine had slept."""
        self._idle.jumped += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a loop whose clock jumps."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner, pytest.MonkeyPatch.context() as patch:
        # aiohttp reads the machine's clock for its idle connections; here it is to read the loop's.
        patch.setattr("aiohttp.connector.monotonic", runner.get_loop().time)
        return runner.run(main)
