"""The rate a server bears, learned from its refusals and kept to: so that the next refusal is rare."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import sqrt

from batchllm.throttle.noise import MAJORITY, Lately, Noise, Trial

MARK_S = 0.5
RECENT_S = 2.0  # a clock that jumped says nothing of the rate
STEP_S = 1.0
STEP_SENT = 10
STEP_MAX_S = 6.0
HOLD_S = 20.0
HOLD_SENT = 200
HOLD_MAX_S = 60.0
BELOW = 0.98
CUT = 0.5
TIGHT = 0.8
WARY, BOLD, BOLDEST = 0.01, 0.1, 0.5
MEASURED = 10
MEASURED_S = 0.5
MEASURED_ENOUGH_S = 2.0
BURST_S = 0.1
LEAST = 1 / 60
USED = 0.9
DOUBTED_CUTS = 8
"""Cuts that follow each other: no limit is found so badly."""
CLEAN, CLEAN_REFUSALS = 30, 3


class Heard(Enum):
    """What a refusal says: of a limit, too little to tell, nothing, or that those before it said nothing either."""

    LIMIT = "limit"
    DOUBT = "doubt"
    NOISE = "noise"
    NOISE_FOUND = "noise found"


class Pace:
    """Idle until the first refusal. `rate` is requests a second, None while nothing was learned; times are monotonic seconds.

    Between two refusals a token bucket lets through its rate times the time, whatever its burst: so (let through - 1) /
    seconds is a floor under the true rate, and the rate sent at was above it. A refusal sets the pace just below that
    floor, or to half where the floor is further down (nothing was measured yet, or the limit fell); whatever was sent
    before a cut says nothing about the pace after it. Where floor and ceiling are close the rate is known: it is held
    for a while. Then, and at once where it is not known, it grows in steps that double until the next refusal.

    Some refusals have nothing to do with how fast we send, no pace ends them, and each would lower it further. So the first
    few are let be unless they are the most of what was sent. The cut after them is a trial at half the pace, and so is one
    where cut follows cut without any growth (`noise`). If about as large a share is refused there, that share is noise: the
    pace is forgotten, and from then on only what exceeds the share is learned from.
    """

    __slots__ = (
        "_accepted", "_anchor", "_cut_at", "_earlier", "_earlier_accepted", "_growth", "_held", "_held_before", "_hold_until",
        "_last_mark", "_level", "_level_at", "_mark", "_series", "_step_at", "_step_sent", "_trial", "noise", "rate", "watch_at",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.rate: float | None = None
        self.watch_at = now + MARK_S
        self._mark = self._last_mark = (now, 0)
        self._cut_at = float("-inf")
        self._anchor = self._earlier = float("-inf")
        self._accepted = self._earlier_accepted = 0
        self._level = 1.0
        self._level_at = now
        self._growth = WARY
        self._hold_until = now
        self._step_at = now
        self._step_sent = 0
        self._held = self._held_before = False
        self.noise = Noise()
        self._series = _Series()
        self._trial: Trial | None = None

    @property
    def holding(self) -> bool:
        """Whether it is this pace that holds the pool back lately."""
        return self._held or self._held_before

    def told(self, rate: float, now: float) -> None:
        """Somebody else who asks the same endpoint learned this rate: keep to it from now on."""
        self.rate = max(LEAST, rate)
        self.watch_at = float("-inf")
        self._growth = WARY
        self._cut_at = self._step_at = self._level_at = now
        self._step_sent, self._held, self._level = 0, False, 0.0

    def wait(self, now: float) -> float:
        """Seconds until the pace lets one more go; 0 if now. Meaningless before a rate is learned."""
        rate = self.rate
        assert rate is not None
        self._level = min(1.0 + rate * BURST_S, self._level + (now - self._level_at) * rate)
        self._level_at = now
        if self._level >= 1.0 - 1e-9:
            return 0.0
        self._held = True
        return (1.0 - self._level) / rate

    def sent(self, now: float, count: int) -> None:
        """To be told from `watch_at` on; `count` is how many were sent so far."""
        if self.rate is None:
            self._last_mark, self._mark = self._mark, (now, count)
            self.watch_at = now + MARK_S
            return
        self._level -= 1.0
        self._accepted += 1
        self._earlier_accepted += 1
        self._step_sent += 1
        self._series.sent += 1
        if self._trial is not None:
            self._trial.went(now)
            self._conclude(self._trial, now, count)
        elapsed = now - self._step_at
        if elapsed >= STEP_MAX_S or (elapsed >= STEP_S and self._step_sent >= STEP_SENT):
            self._step(now, self.rate)

    def _step(self, now: float, rate: float) -> None:
        used = self._step_sent >= USED * rate * (now - self._step_at)
        if used and now >= self._hold_until and self._trial is None:
            self.rate = rate * (1 + self._growth)
            if self._series.broken:
                self._series = _Series()
            self._growth = min(BOLDEST, self._growth * 2)
        self._held_before = self._held
        self._step_at, self._step_sent, self._held = now, 0, False

    def refused(
        self, sent_at: float, now: float, count: int, hint: float, *, slow_ramp: bool = False, plain: bool = False
    ) -> Heard:
        """Learn from a refusal; `plain` is one that is a limit's beyond doubt."""
        self._uncount(sent_at)
        if sent_at >= self._series.since:
            self._series.was_refused()
        if self._trial is not None:
            self._trial.was_refused(sent_at, now)
            self._conclude(self._trial, now, count)
            return Heard.DOUBT if self.rate is not None else Heard.NOISE_FOUND
        if sent_at < self._cut_at:
            return Heard.NOISE
        untold = self.rate is None
        sure = plain or slow_ramp
        number = self._number(sent_at, now, count)
        lately = self.noise.unexplained(sent_at, now, number, count, paced=not untold, sure=sure)
        if lately is None and not sure:
            return Heard.NOISE if self.noise.share else Heard.DOUBT
        self.noise.doubts += untold and self.noise.share > 0
        self._cut(sent_at, now, count, hint, slow_ramp=slow_ramp)
        if lately is not None and not slow_ramp:
            self._doubt(lately, sent_at, now, count, halved=untold and (plain or self.noise.telling))
        return Heard.LIMIT

    def overheard(self, sent_at: float, now: float, count: int) -> None:
        """A refusal while the door is closed: of what was sent before that it still tells."""
        if self._trial is not None and sent_at < self._trial.since:
            self._trial.was_refused(sent_at, now)
            self._conclude(self._trial, now, count)

    def _doubt(self, lately: Lately, sent_at: float, now: float, count: int, *, halved: bool) -> None:
        series = self._series
        if halved:
            self._try(lately, now, halved=True)
        elif series.cuts >= DOUBTED_CUTS and not self.noise.plain(count):
            self._try(Lately(series.refused, series.sent, series.since, now - sent_at), now, halved=False)

    def _number(self, sent_at: float, now: float, count: int) -> int:
        """About how many had been sent when this one was, as if evenly since the last mark."""
        if self.rate is not None:
            return count - round(self.rate * (now - sent_at))
        at, sent = self._mark if sent_at >= self._mark[0] else self._last_mark
        return count - round((count - sent) * min(1.0, (now - sent_at) / max(now - at, 1e-3)))

    def _cut(self, sent_at: float, now: float, count: int, hint: float, *, slow_ramp: bool) -> None:
        rate = self.rate if self.rate is not None else self._recent(now, count)
        floor = self._floor(now)
        known = floor >= rate * TIGHT
        cut = max(sqrt(floor * rate) * BELOW, rate * (CUT * CUT if slow_ramp else CUT))
        self.rate = cut = max(LEAST, min(cut, rate * BELOW))
        self.watch_at = float("-inf")
        self._growth = WARY if known else BOLD
        if known:
            self._hold_until = now + min(HOLD_MAX_S, max(HOLD_S, HOLD_SENT / cut, 2 * hint))
        self._measure_anew(now)
        self._cut_at = self._step_at = self._level_at = now
        self._held_before = self._held
        self._step_sent, self._held, self._level = 0, False, 0.0
        if not self._series.cuts:
            self._series = _Series(since=now)
        self._series.cuts += 1

    def _uncount(self, sent_at: float) -> None:
        if sent_at >= self._anchor:
            self._accepted -= 1
        if sent_at >= self._earlier:
            self._earlier_accepted -= 1

    def _try(self, lately: Lately, now: float, *, halved: bool) -> None:
        """See what is refused at this pace if it was halved, at half of it if not."""
        assert self.rate is not None
        self._trial = Trial(self.rate, lately, self.noise.share, self.noise.doubts, now)
        self.rate = self.rate if halved else max(LEAST, self.rate * CUT)

    def _conclude(self, trial: Trial, now: float, count: int) -> None:
        """Half the pace: were fewer refused, then the pace matters; if not, it does not."""
        if trial.noise and not trial.convinces and self.rate is not None:
            self.rate = max(LEAST, self.rate * CUT)
            self._trial = trial.again(self.rate, now)
        elif trial.noise:
            self.noise.found(trial, count)
            self._forget(now, count)
        elif trial.limit:
            if trial.refused < MAJORITY * trial.sent:
                self.rate = trial.rate
            self.noise.refuted(trial)
            self._trial, self._series = None, _Series()

    def _forget(self, now: float, count: int) -> None:
        """As if nothing had been learned."""
        self.rate, self._trial, self._series = None, None, _Series()
        self._anchor = self._earlier = float("-inf")
        self._held = self._held_before = False
        self._mark = self._last_mark = (now, count)
        self.watch_at = now + MARK_S

    def lately(self, count: int) -> int:
        """How many were sent in the last second or so."""
        return count - self._last_mark[1] if self.rate is None else self._step_sent

    def _recent(self, now: float, count: int) -> float:
        """The rate sent at lately, before any was learned."""
        at, sent = self._last_mark
        return max(1.0, count - sent) / max(MARK_S, min(now - at, RECENT_S))

    def _floor(self, now: float) -> float:
        elapsed, earlier = now - self._anchor, now - self._earlier
        if self._anchor == float("-inf"):
            return 0.0
        if self._measured(now) or self._earlier == float("-inf"):
            return _rate(self._accepted, elapsed)
        return _rate(self._earlier_accepted, earlier)

    def _measured(self, now: float) -> bool:
        elapsed = now - self._anchor
        return elapsed >= MEASURED_ENOUGH_S or (self._accepted >= MEASURED and elapsed >= MEASURED_S)

    def _measure_anew(self, now: float) -> None:
        if self._measured(now):
            if self._anchor > float("-inf"):
                self._earlier, self._earlier_accepted = self._anchor, self._accepted
            self._anchor, self._accepted = now, 0


@dataclass(slots=True)
class _Series:
    """Cuts that follow each other; what was sent and refused `since` the first, `until` the last refusal."""

    since: float = float("-inf")
    cuts: int = 0
    sent: int = 0
    refused: int = 0
    until: int = 0

    def was_refused(self) -> None:
        self.refused += 1
        self.until = self.sent

    @property
    def broken(self) -> bool:
        """Whether more went without a refusal since than would, were these refusals noise."""
        return self.sent - self.until >= max(CLEAN, CLEAN_REFUSALS * self.until / max(self.refused, 1))


def _rate(accepted: int, elapsed: float) -> float:
    """The one that a bucket may have had left weighs where few were let through."""
    return max(0.0, (accepted - (accepted < MEASURED)) / max(elapsed, 1e-3))
