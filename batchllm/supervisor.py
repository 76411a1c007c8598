"""A run among the events of its process: signals, the deadline, a second loop nobody else owns."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime

from batchllm.endings import duration, seconds_until
from batchllm.errors import ExitCode, JobError
from batchllm.pipeline import Run
from batchllm.terminal import say
from batchllm.watchdog import Vigil, watched

_CODES = {signal.SIGINT: ExitCode.SIGINT, signal.SIGTERM: ExitCode.SIGTERM, signal.SIGHUP: ExitCode.SIGHUP}


async def supervise(run: Run, *, signals: bool) -> None:
    """Execute a prepared run. The first signal drains it, bounded by `timeouts.drain`; the second cancels at once."""
    loop = asyncio.get_running_loop()
    execution = asyncio.ensure_future(run.execute())
    timers: list[asyncio.TimerHandle] = []

    def drain(ending: JobError) -> None:
        run.stop(ending)
        timers.append(loop.call_later(run.parts.settings.timeouts.drain, execution.cancel))

    run.drain = drain

    def on_signal(number: signal.Signals) -> None:
        if run.ending is not None and execution.cancel():
            return
        pool = run.pool
        flying = pool.in_flight if pool is not None else 0
        _tell(f"{number.name}: no new requests; waiting for {flying} in flight (again to stop at once)")
        drain(JobError(_CODES[number], f"stopped by {number.name}"))

    if run.parts.settings.max_runtime is not None:
        left = max(0.0, run.born + run.parts.settings.max_runtime - time.monotonic())
        ending = JobError(
            ExitCode.TRY_LATER, f"the run time of {duration(run.parts.settings.max_runtime)} (--max-runtime) is over"
        )
        timers.append(loop.call_later(left, drain, ending))
    if run.parts.settings.until:
        seconds = seconds_until(run.parts.settings.until, datetime.now())
        ending = JobError(ExitCode.TRY_LATER, f"the deadline {run.parts.settings.until} was reached")
        timers.append(loop.call_later(seconds, drain, ending))
    with _handlers(loop, on_signal, signals), watched(loop, Vigil()) if signals else nullcontext():
        try:
            await execution
        except asyncio.CancelledError:
            # Our own cancel ends a drain; anybody else's is passed on.
            if run.ending is None:
                raise
        finally:
            for timer in timers:
                timer.cancel()


def _tell(text: str) -> None:
    """Say a line without waiting for a terminal that takes no more."""
    threading.Thread(target=say, args=(text,), name="batchllm-say", daemon=True).start()


@contextmanager
def _handlers(loop: asyncio.AbstractEventLoop, on_signal: Callable[[signal.Signals], None], wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    # What was ignored when we started stays so: nohup means that the terminal may go, a shell's `&` that Ctrl-C is another's.
    heard = [number for number in _CODES if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


def event_loop(*, fast: bool = True) -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's loop where it is installed, else the standard one."""
    if fast:
        try:
            import uvloop
        except ImportError:
            pass
        else:
            factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return factory
    return asyncio.new_event_loop
