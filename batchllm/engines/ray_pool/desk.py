"""What the driver knows of one worker, and of all the workers that one place has had."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchllm.billing import Charge
from batchllm.engines.ray_pool.hands import Hand
from batchllm.engines.ray_pool.slowing import joined
from batchllm.engines.ray_pool.wire import Order, Share, Slowdown
from batchllm.records import Record
from batchllm.types import Json

EXPECTED_S = 30.0
"""A worker that is being started has its share of every limit kept for it for so long."""


@dataclass(slots=True)
class Place:
    """Figures of the workers that followed each other in one place, for the summary."""

    number: int
    node: str = ""
    started: int = 0
    lost: int = 0
    requests: int = 0
    answered: int = 0
    failed: int = 0
    tokens: int = 0
    in_flight: int | None = None
    """Of the worker that is here now; None where there is none."""

    def count(self, records: tuple[Record, ...], charge: Charge) -> None:
        """What one request came to."""
        answered = sum(record.ok for record in records)
        self.answered += answered
        self.failed += len(records) - answered
        self.tokens += int(charge.tokens or 0)

    def as_json(self) -> Json:
        return {
            "worker": self.number, "node": self.node, "started": self.started, "lost": self.lost, "requests": self.requests,
            "answered": self.answered, "failed": self.failed, "tokens": self.tokens, "in_flight": self.in_flight,
        }  # fmt: skip


@dataclass(slots=True)
class Desk:
    """One worker from its hiring to its end. `taken` is its last outcome that stands in the journal."""

    number: int
    place: Place
    hired_at: float
    hand: Hand | None = None
    begun: bool = False
    share: Share = field(default_factory=lambda: Share(0))
    order: int = 0
    taken: int = 0
    in_flight: int = 0
    limit: int = 0
    parked: int = 0
    slow: Slowdown | None = None
    forget: list[int] = field(default_factory=list)
    belated: bool = False
    """Given up, but still listened to."""

    def expected(self, now: float) -> bool:
        """Whether shares are kept for it."""
        return self.begun or now < self.hired_at + EXPECTED_S

    def slows(self, slow: Slowdown) -> None:
        self.slow = joined(self.slow, slow)

    def word(self, *, stop: bool = False, abort: bool = False) -> Order:
        """What cannot wait for the next order: it comes beside the exchange under way, and changes no share."""
        slow, self.slow = self.slow, None
        return Order(self.order, self.taken, self.share, slow=slow, stop=stop, abort=abort)
