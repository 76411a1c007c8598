"""An endpoint that is down: stop sending, knock with one request at a time, give up after a bounded outage."""

from __future__ import annotations

from collections import deque

WINDOW = 20
SHARE = 0.9
FEW = 5
FEW_AMBIGUOUS = 10
LINES = 3
SUSPECTS = 10_000
PROBE_S = 5.0
PROBE_MAX_S = 300.0


class Breaker:
    """Opens when nine tenths of the last 20 outcomes failed, or the last ten did (five where nobody was reached at all),
    over three lines or more. While open one probe at a time may go, after 5 s, then doubling to 300 s; its answer closes it.

    A line that failed while others were answered is suspect of failing by itself (a poisoned prompt): its later failures
    say nothing of the endpoint, unless nobody was reached. Times are monotonic seconds.
    """

    __slots__ = (
        "_ambiguous", "_certain", "_failures", "_lines", "_opened_at", "_outcomes", "_probe_sent", "_probing", "_suspects",
        "_wait", "open", "probe_at", "since",
    )  # fmt: skip

    def __init__(self) -> None:
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._failures = 0
        self._lines: set[int] = set()
        self._suspects: dict[int, None] = {}
        self._wait = PROBE_S
        self._probing = False
        self._probe_sent = self._opened_at = float("-inf")
        self._certain = self._ambiguous = False
        self.open = False
        self.probe_at = 0.0
        self.since: float | None = None

    def answered(self, sent_at: float) -> None:
        """Any reply that shows a working endpoint, refusals included."""
        if self.since is None:
            return  # nothing failed lately: the hot path
        if self.open:
            if sent_at < self._opened_at:
                return  # it went before the trouble began
            self._close()
        else:
            self._suspect()
            self._add(failed=False)
        self.since, self._certain, self._ambiguous = None, False, False
        self._lines.clear()

    def _close(self) -> None:
        self.open, self._probing, self._wait = False, False, PROBE_S
        self._outcomes.clear()
        self._failures = 0

    def _suspect(self) -> None:
        self._suspects.update(dict.fromkeys(self._lines))
        while len(self._suspects) > SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    def unavailable(self, now: float) -> None:
        """The endpoint itself says that it is (503): reached, so nothing opens, but an outage all the same."""
        if self.since is None:
            self.since = now
        self._certain = True

    def failed(self, line: int, sent_at: float, now: float, *, reached: bool) -> None:
        """A request that nobody answered, or with an error of the server's; `reached` if it may be the line's own fault."""
        if self.since is None:
            self.since = now
        self._certain |= not reached
        if self.open:
            self._probed(sent_at, now)
            return
        if reached and line in self._suspects:
            return
        self._ambiguous |= reached
        if len(self._lines) < WINDOW:
            self._lines.add(line)
        self._add(failed=True)
        if self._should_open():
            self.open, self._opened_at, self.probe_at = True, now, now + self._wait

    def _probed(self, sent_at: float, now: float) -> None:
        if self._probing and sent_at >= self._probe_sent:
            self._probing = False
            self._wait = min(PROBE_MAX_S, self._wait * 2)
            self.probe_at = now + self._wait

    def _should_open(self) -> bool:
        if len(self._lines) < LINES:
            return False
        if len(self._outcomes) == WINDOW and self._failures >= SHARE * WINDOW:
            return True
        few = FEW_AMBIGUOUS if self._ambiguous else FEW
        return len(self._outcomes) >= few and all(list(self._outcomes)[-few:])

    def ready_at(self) -> float:
        """When the next request may go: the past while closed, `inf` while a probe is out."""
        if not self.open:
            return float("-inf")
        return float("inf") if self._probing else self.probe_at

    def sent(self, now: float) -> None:
        if self.open:
            self._probing, self._probe_sent = True, now

    def gone(self, sent_at: float) -> None:
        """A request ended without an outcome (cancelled); the probe among them frees the way for the next."""
        if sent_at >= self._probe_sent:
            self._probing = False

    def outage_s(self, now: float) -> float:
        """Seconds since the first failure behind the last answer, where it is certain that the endpoint is to blame."""
        return now - self.since if self.since is not None and (self.open or self._certain) else 0.0

    def _add(self, *, failed: bool) -> None:
        if len(self._outcomes) == WINDOW:
            self._failures -= self._outcomes[0]
        self._outcomes.append(failed)
        self._failures += failed
