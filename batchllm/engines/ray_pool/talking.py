"""One exchange with one worker, over a connection that may break off, blink, or fall silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from batchllm import __version__
from batchllm.engines.ray_pool.hands import BlinkError, Hand, LostError
from batchllm.engines.ray_pool.wire import Hello, Order, Report
from batchllm.errors import ExitCode, JobError

LOST_S = 30.0
"""Without a report for so long a worker counts as lost; it has begun nothing new for half of that (`worker.UNHEARD_S`)."""
BLINK_S = 0.5


class SilentError(LostError):
    """A worker said nothing for `LOST_S`; `asking` is the exchange that may still bring its report."""

    def __init__(self, asking: asyncio.Task[Report]) -> None:
        super().__init__(f"it said nothing for {LOST_S:.0f} s")
        self.asking = asking


async def answer(hand: Hand, order: Order) -> Report:
    """The report to this order. An order that may not have come through is sent again, and counts once.

    Raises `LostError`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LOST_S
    while True:
        asking = loop.create_task(hand.exchange(order), name="exchange")
        try:
            await asyncio.wait({asking}, timeout=deadline - loop.time())
            if not asking.done():
                raise SilentError(asking)
            return asking.result()
        except asyncio.CancelledError:
            asking.cancel()
            raise
        except BlinkError as blink:
            if loop.time() >= deadline - BLINK_S:
                raise LostError(str(blink)) from None
            await asyncio.sleep(BLINK_S)


async def tell(hand: Hand, word: Order) -> None:
    """A word beside the exchange under way; the next order tells the same."""
    with suppress(LostError, BlinkError):
        await hand.tell(word)


def unfit(hello: Hello, settings_digest: str) -> JobError | None:
    """Why a worker would not make the same requests as this process; None if it would."""
    if hello.error is not None:
        return hello.error.error
    if hello.version != __version__:
        return JobError(
            ExitCode.USAGE,
            f"{hello.node} has batchllm {hello.version}, this is {__version__}: install the same version on every node",
        )
    if hello.settings_digest != settings_digest:
        return JobError(
            ExitCode.USAGE, f"on {hello.node} the settings come to other requests than here: are its files the same?"
        )
    return None
