"""Limits that several processes of this machine keep to together (`[limits] share`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from batchllm.settings import Settings
from batchllm.throttle import Throttle

__all__ = ["shared"]


@asynccontextmanager
async def shared(settings: Settings, throttle: Throttle, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """While it lasts, the throttle's `rpm`, `tpm` and pauses are those of all processes that share the settings' name.

    Costs nothing where no name is set. `tell` gets a sentence whenever something about it changes that a person should
    know. Raises `JobError` (2) where the name's file cannot be made.
    """
    name = settings.limits.share
    if name is None:
        yield
        return
    from batchllm.sharing.ledger import Ledger, state_folder
    from batchllm.sharing.membership import Membership

    ledger = await asyncio.to_thread(Ledger, state_folder(), name, time.monotonic)
    membership = Membership(ledger, throttle, settings.rpm, settings.tpm, tell)
    try:
        await membership.begin()
        keeping = asyncio.create_task(membership.keep(), name="limits")
        try:
            yield  # not inside a TaskGroup: what the run raises is the run's (PEP 789)
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
    finally:
        await membership.end()
