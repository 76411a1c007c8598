"""An endpoint that is down: stop sending, knock with one request at a time, give up after a bounded outage."""

from __future__ import annotations

UNREACHED = 5
FIRST_FAILURES = 6
KNOWN = 10_000
PROBE_S = 5.0
PROBE_MAX_S = 300.0
REPEAT_MAX_S = 60.0
GAP_MAX_S = 600.0
"""The longest time between two failures that counts as outage: beyond it this machine may have slept."""


class Breaker:
    """Opens when nobody was reached five times running, or when six lines running met an error they had not met before,
    with no answer in between. While open one probe at a time may go, after 5 s, then doubling to 300 s (`probe_max_s`); any
    answer to what was sent since closes it.

    An error of the server's or a time-out may be the line's own fault. So only a line's first one speaks of the endpoint,
    and only if nothing that went later was answered; where none but such lines are left they are probed every minute, and
    use up their attempts. Times are monotonic seconds.
    """

    __slots__ = (
        "_answered_at", "_down_s", "_first_failures", "_known", "_last_failed", "_opened_at", "_probe_max", "_probe_sent", "_probing",
        "_unreached", "_wait", "open", "probe_at",
    )  # fmt: skip

    def __init__(self, probe_max_s: float = PROBE_MAX_S) -> None:
        self._probe_max = probe_max_s
        self._known: dict[int, None] = {}
        self._unreached = self._first_failures = 0
        self._answered_at = self._opened_at = self._probe_sent = float("-inf")
        self._last_failed: float | None = None
        self._down_s = 0.0
        self._wait = PROBE_S
        self._probing = False
        self.open = False
        self.probe_at = 0.0

    def answered(self, sent_at: float) -> None:
        """Any reply that shows a working endpoint, refusals included."""
        if sent_at > self._answered_at:
            self._answered_at = sent_at
        if self._last_failed is None or (self.open and sent_at < self._opened_at):
            return  # nothing failed lately: the hot path; or it went before the trouble began
        self._unreached = self._first_failures = 0
        self._last_failed, self._down_s = None, 0.0
        self.open, self._probing, self._wait = False, False, PROBE_S

    def unavailable(self, sent_at: float, now: float) -> None:
        """The endpoint itself says that it is (503): reached, so nothing opens, but an outage all the same."""
        self._count(now)
        self._probed(sent_at, now, self._probe_max)

    def failed(self, line: int, sent_at: float, now: float, *, reached: bool) -> None:
        """A request that nobody answered, or with an error of the server's; `reached` if it may be the line's own fault."""
        own = reached and (line in self._known or sent_at < self._answered_at)
        if reached:
            self._know(line)
        if not own:
            self._count(now)
            self._unreached += not reached
            self._first_failures += reached
        if self.open:
            self._probed(sent_at, now, min(REPEAT_MAX_S, self._probe_max) if own else self._probe_max)
        elif self._unreached >= UNREACHED or self._first_failures >= FIRST_FAILURES:
            self.open, self._opened_at, self.probe_at = True, now, now + self._wait

    def _count(self, now: float) -> None:
        if self._last_failed is not None:
            self._down_s += min(now - self._last_failed, GAP_MAX_S)
        self._last_failed = now

    def _know(self, line: int) -> None:
        self._known[line] = None
        if len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]

    def _probed(self, sent_at: float, now: float, most: float) -> None:
        if self._probing and sent_at >= self._probe_sent:
            self._probing = False
            self._wait = min(most, self._wait * 2)
            self.probe_at = now + self._wait

    def shields(self, line: int) -> bool:
        """Whether a failure of this line would be the endpoint's fault, so that it uses up no attempt."""
        return self.open and line not in self._known

    @property
    def troubled(self) -> bool:
        """Whether something failed since the last answer: then lines that never failed tell more than others."""
        return self._last_failed is not None

    def ready_at(self) -> float:
        """When the next request may go: the past while closed, `inf` while a probe is out."""
        if not self.open:
            return float("-inf")
        return float("inf") if self._probing else self.probe_at

    def sent(self, now: float) -> None:
        """To be told while `open`."""
        self._probing, self._probe_sent = True, now

    def gone(self, sent_at: float) -> None:
        """A request ended without an outcome (cancelled); the probe among them frees the way for the next."""
        if sent_at >= self._probe_sent:
            self._probing = False

    def outage_s(self) -> float:
        """Seconds of failures, the endpoint's own, since the last answer."""
        return self._down_s
