"""When to ask after a batch again, and when to stop waiting for it and go live. Pure; seconds."""

from __future__ import annotations

from dataclasses import dataclass

GROWTH = 1.5
MARGIN = 1.25
"""The live pool gets a quarter more time than it is reckoned to need."""
CANCEL_S = 600.0
"""A provider may take ten minutes to cancel (OpenAI's reference of `batches.cancel`)."""
ASSUMED_LATENCY_S = 5.0
"""Of one live request, where nothing was measured."""


def next_pause(pause: float | None, first: float, most: float, jitter: float) -> float:
    """The pause before the next look: it grows by half each time, up to `most`; `jitter` in [0, 1) takes off up to a tenth."""
    grown = first if pause is None else min(most, pause * GROWTH)
    return grown * (1 - 0.1 * jitter)


@dataclass(frozen=True, slots=True)
class LivePool:
    """How fast the live pool is, in lines a second: measured in an earlier run, or the least of what limits it."""

    rate: float

    @classmethod
    def reckoned(cls, measured: float | None, concurrency: int, rpm: float | None) -> LivePool:
        """`measured` wins; else what `concurrency` slots do at `ASSUMED_LATENCY_S`, at most `rpm` a minute."""
        if measured:
            return cls(measured)
        slots = concurrency / ASSUMED_LATENCY_S
        return cls(slots if rpm is None else min(slots, rpm / 60))

    def needs(self, lines: int, *, cancelling: bool) -> float:
        """Seconds for so many lines, those included that a cancel takes first."""
        return lines / self.rate * MARGIN + (CANCEL_S if cancelling else 0.0)


def live_in(seconds_left: float, lines: int, pool: LivePool, *, cancelling: bool) -> float:
    """Seconds until the live pool has to take over; 0 where it has to now."""
    return max(0.0, seconds_left - pool.needs(lines, cancelling=cancelling))
