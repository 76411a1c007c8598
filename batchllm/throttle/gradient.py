"""How many in flight are worth it, for servers that never refuse: more as long as more of them get more done.

The method is hill climbing on goodput; docs/concurrency.md compares it with BBR, Vegas and Netflix's gradients.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import hypot, inf

from batchllm.throttle.climb import Climb
from batchllm.throttle.evidence import BLOCKS, NOISY_S, PRECISE_FAR, ROUGH, SURE, complete, gains, hopeless, loses, rough
from batchllm.throttle.goodput import KEEP, Known, Window

START = 8
STEP = 2.0**0.25
FAR = 4
"""A doubling, in steps."""
RAMP = 2
"""How many may go beside each that ends while the limit rises: doubled within half a round, and never by a leap."""
FULL, USED = 0.9, 0.8
"""A window begins when so much of the limit is in flight, and counts if so much of it was in flight on the average."""
PATIENCE = 2.5
CHANGED = 0.25
NEWEST = 0.3
"""The least weight of the last window in what is known of a level: the workload drifts. More where it is the surer one."""
LIFE, LIFE_MAX, LIFE_LEAST = 16, 64, 2
WAITS, WAITS_MOSTLY = 0.25, 0.5
BASE_GROWTH = 1.02
"""How fast the shortest time to first token is forgotten, each window: prompts become longer, and no queue is to blame."""
NONE = 1e-9


def levels(cap: int) -> list[int]:
    """The limits that are tried: steps of a quarter of a doubling, and the cap."""
    steps = (round(STEP**n) for n in range(128))
    return sorted({*(step for step in steps if step < cap), cap})


def _goodput(known: Known) -> float:
    return known.goodput


class Gradient:
    """`limit` is how many may be in flight. Tell it of every request that is sent and that ends.

    It climbs from 8 (`climb`), then doubles while that brings more than 3 % and halves while that costs less, then looks
    between. What is clear is decided within half a round (`evidence`). What it found beside the level that is held is
    forgotten after 16 windows (32, 64 where trying again told nothing new) and tried anew, by a quarter of a doubling; sooner
    and further where it was not sure. Where the goodput of the held level changes by a quarter, twice, all else is forgotten
    at once. A close comparison has at least as many requests as are in flight, each sent into a full pool, and two seconds,
    and more until its error is below 2 %, up to three times as many and five seconds. Nothing is learned while something
    else holds the pool back.

    Streams tell how long they waited for their first token. That only says where to look: a server whose queue takes
    half of a request's time gets no more, and the first try below leaves the queue out. Goodput decides.
    """

    __slots__ = (
        "_at", "_base_ttft", "_climb", "_fell", "_known", "_levels", "_lives", "_opened", "_stride", "_surprised", "_took_s",
        "_window", "_windows", "held", "limit",
    )  # fmt: skip

    def __init__(self, cap: int, now: float, start: int = START) -> None:
        self._levels = levels(cap)
        self._at = self.held = bisect_right(self._levels, min(start, cap)) - 1
        self.limit = self._levels[self._at]
        self._known: dict[int, Known] = {}
        self._lives: dict[int, int] = {}
        self._windows = 0
        self._stride = FAR
        self._base_ttft = inf
        self._took_s = inf
        self._fell = self._surprised = False
        self._climb: Climb | None = Climb()
        self._open(now)

    @property
    def best(self) -> int:
        """The limit that is held, whatever is tried at the moment."""
        return self._levels[self.held]

    @property
    def found(self) -> int | None:
        """The same, once anything was learned."""
        return self.best if self._known else None

    def _open(self, now: float) -> None:
        self._window = Window(self._levels[self._at])
        self._opened = now

    def sent(self, now: float, in_flight: int) -> None:
        """One more is in flight, which `in_flight` counts."""
        window = self._window
        if window.since != inf:
            window.holds(in_flight, now)
        elif not self._known and self._at == self.held:
            window.begin(now, in_flight)  # the first of all: everybody there began with it
        elif FULL * self._levels[self._at] <= in_flight <= self.limit:
            window.full = True

    def ended(self, sent_at: float, now: float, in_flight: int, work: float, ttft: float | None = None) -> None:
        """A request has left, `in_flight` are there still; `work` (0: it came to nothing) was done for it."""
        level, window = self._levels[self._at], self._window
        if self.limit < level:
            self.limit = min(level, self.limit + RAMP)
        if window.since != inf:
            window.holds(in_flight, now)
            if sent_at >= window.since:
                window.add(work, now - sent_at, ttft, now)
        elif window.full:  # what comes from now on finds others under way at every stage
            window.begin(now, in_flight)
        if self._enough(window, level, now):
            self._close(window, now)
        elif self._at != self.held and window.count < level and self._too_long(now):
            self._give_up(now)

    def left(self, now: float, in_flight: int) -> None:
        """A request has left that tells nothing: it was refused, or could not be sent."""
        if self._window.since != inf:
            self._window.holds(in_flight, now)

    def _enough(self, window: Window, level: int, now: float) -> bool:
        """By `evidence`, which depends on what the window is compared with."""
        held = self._known.get(self.held)
        if self._climb is not None or held is None:
            return rough(window, level, now) or (held is not None and hopeless(window, level, held, now))
        if self._at > self.held and gains(window, level, held):
            return True
        if self._lost(window):
            return True
        if self._at != self.held and hopeless(window, level, held, now):
            return True
        return complete(window, level, now, far=self._stride == FAR)

    def _lost(self, window: Window) -> bool:
        held = self._known.get(self.held)
        return self._at < self.held and held is not None and loses(window, self._levels[self._at], held)

    def _too_long(self, now: float) -> bool:
        patience_s = PATIENCE * self._took_s * max(self._levels[self._at], self.best)
        return now - self._opened > max(NOISY_S, patience_s)

    def _give_up(self, now: float) -> None:
        """A try takes far longer than the level that is held would: the server is stuck, or the pool is held back."""
        window = self._window
        if window.since != inf and window.mean_in_flight >= USED * self._levels[self._at]:
            self._note(window.work / (now - window.since), 0.0, 0.0)
            self._decide()
        self._climb = None
        self._go(self.held, now)

    def _close(self, window: Window, now: float) -> None:
        if window.mean_in_flight < USED * self._levels[self._at]:
            self._open(now)  # it was something else that held the pool back
            return
        # Fewer blocks do not show whether the server itself is steady.
        error = window.error if window.blocks >= BLOCKS else max(ROUGH, window.error)
        goodput, queued = window.goodput(), self._queued(window)
        self._note(goodput, error, queued, clear=self._lost(window))
        if self._climb is not None and self._climbs(self._climb, goodput, queued):
            self.held = max(self._known, key=lambda at: self._known[at].goodput)
            self._took_s = (now - self._opened) / self._levels[self._at]
            self._go(min(self._at + FAR, len(self._levels) - 1), now)
            return
        self._decide()
        if self._at == self.held:
            self._took_s = (now - self._opened) / self._levels[self._at]
        climbed, self._climb = self._climb is not None, None
        self._go(self.held if climbed else self._next(), now)  # what was found on the way up is measured more closely

    def _climbs(self, climb: Climb, goodput: float, queued: float) -> bool:
        return climb.goes_on(goodput) and queued < WAITS_MOSTLY and self._at < len(self._levels) - 1

    def _note(self, goodput: float, error: float, queued: float, *, clear: bool = False) -> None:
        self._windows += 1
        known = self._known.get(self._at)
        # What is unsure is tried again soon: two that cannot be told apart at once can by turns.
        sure = 1.0 if clear else min(1.0, PRECISE_FAR / max(error, NONE))
        until = self._windows + max(LIFE_LEAST, round(sure * self._lives.get(self._at, LIFE)))
        if known is None:
            self._known[self._at] = Known(goodput, error, until, queued)
            return
        change = max(goodput, known.goodput) / max(min(goodput, known.goodput), NONE) - 1
        if self._at == self.held and change > max(CHANGED, SURE * hypot(error, known.error)):
            if not self._surprised:
                self._surprised = True  # once may be somebody else's doing
                return
            self._known = {self._at: Known(goodput, error, until, queued)}
            self._lives.clear()
            self._stride, self._fell, self._surprised = FAR, goodput < known.goodput, False
            return
        self._surprised = False
        known.until, known.queued = until, queued
        share = max(NEWEST, known.error**2 / max(known.error**2 + error**2, NONE))
        known.goodput += share * (goodput - known.goodput)
        known.error = hypot((1 - share) * known.error, share * error)

    def _decide(self) -> None:
        """Forget what is old, and hold the smallest level that does nearly as much as the best."""
        kept = (self.held, self._at)
        for at in [at for at, known in self._known.items() if at not in kept and known.until <= self._windows]:
            del self._known[at]
        best = max(self._known.values(), key=_goodput)
        held = min(at for at, known in self._known.items() if known.as_good_as(best))
        if held != self.held:
            self._lives.pop(held, None)
            if held == self._at:  # else nothing was found, only thought better of
                self._stride = min(FAR, 2 * self._stride)
        elif self._at != held:
            self._lives[self._at] = min(LIFE_MAX, 2 * self._lives.get(self._at, LIFE))
        self.held = held

    def _next(self) -> int:
        """The level to be tried now; the one that is held where there is nothing to find out."""
        if self._surprised or self._known[self.held].error > self._known[self._at].error:
            return self.held  # what lost may have lost to luck: the less sure of the two is measured again
        above, below = self._above(), self._below()
        first, second = (below, above) if self._fell else (above, below)
        if first is None:
            first = second
        if first is not None:
            return first
        self._stride, self._fell = self._step_back(), False
        return self.held

    def _step_back(self) -> int:
        """How far to go when trying anew: one level, and more where so little could not be told from the noise."""
        error = self._known[self.held].error
        return 1 if error <= PRECISE_FAR else 2 if error <= 2 * PRECISE_FAR else FAR

    def _above(self) -> int | None:
        held, top = self.held, len(self._levels) - 1
        if held == top or held + 1 in self._known:
            return None
        nearest = min((at for at in self._known if at > held), default=None)
        if nearest is None:
            return None if self._known[held].queued >= WAITS_MOSTLY else min(top, held + self._stride)
        # Before a fall there may be a peak; where nothing falls, nothing is to be found between two that do the same.
        lowest = min(known.goodput for at, known in self._known.items() if at > held)
        return (held + nearest) // 2 if lowest < KEEP * self._known[held].goodput else None

    def _below(self) -> int | None:
        held = self.held
        if held == 0 or held - 1 in self._known:
            return None
        nearest = max((at for at in self._known if at < held), default=None)
        if nearest is None:
            queued = self._known[held].queued
            unqueued = bisect_right(self._levels, self._levels[held] * (1 - queued)) - 1
            lower = min(held - self._stride, unqueued) if queued >= WAITS else held - self._stride
            return max(0, lower)
        # Nothing in flight does more than it does alone: a level does so much at most, by what a lower one did.
        enough = self._levels[nearest] * KEEP * self._known[held].goodput / max(self._known[nearest].goodput, NONE)
        first = max(nearest + 1, bisect_left(self._levels, enough))
        return (first + held) // 2 if first < held else None

    def _queued(self, window: Window) -> float:
        """The share of a request's time that it waits in the server's queue, as far as streams tell (TCP Vegas' estimate)."""
        ttft = window.ttft
        if ttft is None:
            return 0.0
        self._base_ttft = min(self._base_ttft * BASE_GROWTH, ttft)
        return (ttft - self._base_ttft) * window.count / window.seconds

    def _go(self, at: int, now: float) -> None:
        self._at = at
        self.limit = min(self.limit, self._levels[at])
        self._open(now)

    def shrink_to(self, cap: int) -> None:
        """The machine bears no more; for the rest of the run."""
        del self._levels[max(1, bisect_left(self._levels, cap + 1)) :]
        top = len(self._levels) - 1
        self._known = {at: known for at, known in self._known.items() if at <= top}
        self.held, self._at = min(self.held, top), min(self._at, top)
        self.limit = min(self.limit, self._levels[self._at])
