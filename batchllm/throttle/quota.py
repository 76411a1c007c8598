"""An ambiguous quota answer: the same words mean "no money" at one provider and "this minute is used up" at another."""

from __future__ import annotations

PROBE_WAITS_S = (60.0, 120.0, 240.0)


class QuotaProbe:
    """After such an answer the pool stops and one request goes after 60 s, then 120 s, then 240 s.

    Any other answer ends the doubt; the third refused probe makes it `exhausted`. A probe without an answer (time-out,
    connection) tells nothing and is sent anew after the same wait. Costs three rejected, unbilled requests and seven
    minutes, and is right at both kinds of provider without a table. Times are monotonic seconds.
    """

    __slots__ = ("_out", "_refused", "_since", "active", "at")

    def __init__(self) -> None:
        self.active = False
        self.at = 0.0
        self._since = 0.0
        self._refused = 0
        self._out = False

    @property
    def exhausted(self) -> bool:
        return self._refused >= len(PROBE_WAITS_S)

    def ready_at(self) -> float:
        """When the next request may go; `inf` while the probe is out. Meaningless unless `active`."""
        return float("inf") if self._out or self.exhausted else self.at

    def sent(self) -> None:
        self._out = True

    def gone(self, sent_at: float, now: float) -> None:
        """A request ended without telling; the probe among them is repeated."""
        if self._out and sent_at >= self.at:
            self._out = False
            self.at = now + PROBE_WAITS_S[self._refused]

    def doubted(self, sent_at: float, now: float) -> None:
        """One more such answer. Answers to what was sent before the doubt began do not count as probes."""
        if not self.active:
            self.active, self._since, self._refused = True, now, 0
        elif self._out and sent_at >= self.at:
            self._refused += 1
        else:
            return
        self._out = False
        if not self.exhausted:
            self.at = now + PROBE_WAITS_S[self._refused]

    def answered(self, sent_at: float) -> bool:
        """Any other answer; True if it ended a doubt."""
        if not self.active or sent_at < self._since:
            return False
        self.active, self._out = False, False
        return True
