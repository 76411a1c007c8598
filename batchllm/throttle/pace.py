"""The rate a server bears, learned from its refusals and kept to: so that the next refusal is rare."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

MARK_S = 0.5
RECENT_S = 2.0  # a clock that jumped says nothing of the rate
STEP_S = 1.0
STEP_SENT = 10
STEP_MAX_S = 20.0
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
MEMORY, LONG_MEMORY = 1 / 64, 1 / 512  # of outcomes, in the shares refused
DOUBTED_CUTS = 8
TRIAL_LEAST, TRIAL_MOST = 40, 300
TRIAL_REFUSALS, TRIAL_CLEAN = 4, 3
TRIAL_MAJORITY = 0.6


class Pace:
    """Idle until the first refusal. `rate` is requests a second, None while nothing was learned; times are monotonic seconds.

    Between two refusals a token bucket lets through its rate times the time, whatever its burst: so (let through - 1) /
    seconds is a floor under the true rate, and the rate sent at was above it. A refusal sets the pace just below that
    floor, or to half where the floor is further down (nothing was measured yet, or the limit fell); whatever was sent
    before a cut says nothing about the pace after it. Where floor and ceiling are close the rate is known: it is held
    for a while. Then, and at once where it is not known, it grows in steps that double until the next refusal.

    Some refusals have nothing to do with how fast we send (a pool shared with others is full): no pace ends them, and
    each would lower it further. So where cut follows cut without any growth, half the pace is tried. If as large a share
    is refused as before, that share is `noise`: it costs no pace from then on, and only what exceeds it by far does.
    """

    __slots__ = (
        "_accepted", "_anchor", "_cut_at", "_earlier", "_earlier_accepted", "_growth", "_held", "_held_before",
        "_hold_until", "_last_mark", "_level", "_level_at", "_mark", "_noise_found", "_series", "_share", "_step_at", "_step_sent", "_trial",
        "noise", "rate", "watch_at",
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
        self.noise = self._noise_found = 0.0
        self._share = 0.0
        self._series = _Series()
        self._trial: _Trial | None = None

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
        self._share -= self._share * MEMORY
        self.noise -= self.noise * LONG_MEMORY
        self._series.sent += 1
        if self._trial is not None and self._trial.over(self._series):
            self._conclude(self._trial, now)
        elapsed = now - self._step_at
        if elapsed >= STEP_MAX_S or (elapsed >= STEP_S and self._step_sent >= STEP_SENT):
            self._step(now, self.rate)

    def _step(self, now: float, rate: float) -> None:
        used = self._step_sent >= USED * rate * (now - self._step_at)
        if used and now >= self._hold_until and self._trial is None:
            self._series = _Series()
            self.rate = rate * (1 + self._growth)
            self._growth = min(BOLDEST, self._growth * 2)
        self._held_before = self._held
        self._step_at, self._step_sent, self._held = now, 0, False

    def refused(self, sent_at: float, now: float, count: int, hint: float, *, slow_ramp: bool = False) -> bool:
        """Learn from a refusal. False if it is noise: it says nothing of the rate, or of how many may be in flight."""
        self._uncount(sent_at)
        self._share += MEMORY
        if sent_at >= self._series.since:
            self._series.refused += 1
        if self.noise > LONG_MEMORY and self._share <= 2 * self.noise + MEMORY:
            self.noise = min(self._noise_found, self.noise + LONG_MEMORY)  # it may fade; to grow takes another trial
            return False
        if self._trial is None:
            self._cut(sent_at, now, count, hint, slow_ramp=slow_ramp)
        return True

    def _cut(self, sent_at: float, now: float, count: int, hint: float, *, slow_ramp: bool) -> None:
        if sent_at < self._cut_at:
            return
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
        self._series.cuts += 1
        if self._series.cuts >= DOUBTED_CUTS and not slow_ramp:
            self._try_half(cut, now)

    def _uncount(self, sent_at: float) -> None:
        if sent_at >= self._anchor:
            self._accepted -= 1
        if sent_at >= self._earlier:
            self._earlier_accepted -= 1

    def _try_half(self, rate: float, now: float) -> None:
        share = self._series.share
        if share < TRIAL_MAJORITY:  # else the pace is plainly too fast
            self._trial = _Trial(rate, share)
            self.rate = max(LEAST, rate * CUT)
            self._series = _Series(since=now)

    def _conclude(self, trial: _Trial, now: float) -> None:
        """Half the pace: were fewer refused, then the pace matters; if not, it does not."""
        share = self._series.share
        self._trial, self._series = None, _Series(since=now)
        if share >= TRIAL_MAJORITY:
            return
        self.rate = trial.rate
        if share >= trial.share / 2:
            self.noise = self._noise_found = max(share, trial.share)
            self._growth, self._hold_until = BOLD, now

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
    """Cuts without growth between them, and what was sent and refused meanwhile (sent `since`)."""

    since: float = float("-inf")
    cuts: int = 0
    sent: int = 0
    refused: int = 0

    @property
    def share(self) -> float:
        return self.refused / max(self.sent, 1)


@dataclass(frozen=True, slots=True)
class _Trial:
    """The pace before it was halved, and the share that was refused at it."""

    rate: float
    share: float

    def over(self, series: _Series) -> bool:
        """Whether enough was sent to tell: sooner where nothing is refused, or nearly everything."""
        if series.refused >= TRIAL_REFUSALS and series.share >= TRIAL_MAJORITY:
            return True
        if not series.refused:
            return series.sent >= min(TRIAL_MOST, TRIAL_CLEAN / max(self.share, 1e-3))
        return series.sent >= min(TRIAL_MOST, max(TRIAL_LEAST, TRIAL_REFUSALS / max(self.share, 1e-3)))


def _rate(accepted: int, elapsed: float) -> float:
    """The one that a bucket may have had left weighs where few were let through."""
    return max(0.0, (accepted - (accepted < MEASURED)) / max(elapsed, 1e-3))
