"""What every batch is worked on with, and every request answered from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchllm.gateway.places import Places
from batchllm.gateway.store import Store
from batchllm.gateway.turnstile import Turnstile
from batchllm.gateway.upstream import Upstream
from batchllm.protocols import Transport


@dataclass(frozen=True, slots=True)
class Shop:
    """The gateway's parts below its HTTP surface. `clock` gives seconds since the epoch."""

    places: Places
    store: Store
    upstream: Upstream
    transport: Transport
    house: Turnstile
    max_lines: int
    clock: Callable[[], float]

    @property
    def now(self) -> int:
        return int(self.clock())
