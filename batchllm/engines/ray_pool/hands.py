"""The seam to whatever carries orders to workers and reports back: a Ray cluster, or this process in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from batchllm.engines.ray_pool.wire import Hello, Kit, Order, Report


class LostError(Exception):
    """A worker is gone, or nobody can tell; its text is a sentence for the user."""


class NoRoomError(LostError):
    """A worker was not started in time: there is no room for it, or nobody who would start it."""


class BlinkError(Exception):
    """An order may not have come through, or its report may not: the same order is worth sending again."""


class Hand(Protocol):
    """One worker, wherever it is. Every method raises `LostError` once it is gone."""

    async def begin(self, kit: Kit, secrets: Mapping[str, str]) -> Hello: ...

    async def exchange(self, order: Order) -> Report:
        """Raises `BlinkError` where the connection was broken for the moment."""
        ...

    async def tell(self, order: Order) -> None: ...

    def dismiss(self) -> None:
        """End the worker, whatever it does. Never raises."""
        ...


class Crew(Protocol):
    """Where workers come from."""

    async def open(self, wanted: int | None) -> int:
        """Connect; how many workers there will be. Raises `JobError` where there is no such place."""
        ...

    async def hire(self) -> Hand:
        """One more worker; waits until there is room. Raises `LostError` where it could not be started."""
        ...

    async def gone(self) -> str:
        """Return once the place as a whole is gone, with a sentence that says so; the process may not outlive it for long."""
        ...

    async def close(self) -> None: ...
