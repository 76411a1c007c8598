"""An endpoint that is down: stop sending, knock with one request at a time, give up after a bounded outage."""

from __future__ import annotations

from collections import deque

WINDOW = 20
SHARE = 0.9
FEW = 5
FEW_LINES = 3
PROBE_S = 5.0
PROBE_MAX_S = 300.0


class Breaker:
    """Opens when nine tenths of the last 20 outcomes failed, or the last five did, over three lines or more.

    While open one probe at a time may go, after 5 s, then doubling to 300 s; any answer closes it. A single poisoned
    line never opens it. Times are monotonic seconds.
    """

    __slots__ = ("_failures", "_lines", "_outcomes", "_probing", "_wait", "down_since", "open", "probe_at")

    def __init__(self) -> None:
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._failures = 0
        self._lines: set[int] = set()
        self._wait = PROBE_S
        self._probing = False
        self.open = False
        self.probe_at = 0.0
        self.down_since: float | None = None

    def answered(self) -> None:
        """Any reply that shows a working endpoint, refusals included."""
        if self.down_since is None:
            return  # nothing failed lately: the hot path
        self._add(failed=False)
        self.down_since = None
        self._lines.clear()
        if self.open:
            self.open, self._probing, self._wait = False, False, PROBE_S
            self._outcomes.clear()
            self._failures = 0

    def failed(self, line: int, now: float) -> None:
        if self.down_since is None:
            self.down_since = now
        if len(self._lines) < WINDOW:
            self._lines.add(line)
        self._add(failed=True)
        if self.open:
            if self._probing:
                self._probing = False
                self._wait = min(PROBE_MAX_S, self._wait * 2)
                self.probe_at = now + self._wait
        elif self._should_open():
            self.open = True
            self.probe_at = now + self._wait

    def _should_open(self) -> bool:
        if len(self._lines) < FEW_LINES:
            return False
        if len(self._outcomes) == WINDOW and self._failures >= SHARE * WINDOW:
            return True
        recent = list(self._outcomes)[-FEW:]
        return len(recent) == FEW and all(recent)

    def ready_at(self) -> float:
        """When the next request may go: the past while closed, `inf` while a probe is out."""
        if not self.open:
            return float("-inf")
        return float("inf") if self._probing else self.probe_at

    def sent(self) -> None:
        if self.open:
            self._probing = True

    def gone(self) -> None:
        """A request ended without an outcome (cancelled); a probe among them frees the way for the next."""
        self._probing = False

    def outage_s(self, now: float) -> float:
        """Seconds since the first failure behind the last answer."""
        return 0.0 if self.down_since is None else now - self.down_since

    def _add(self, *, failed: bool) -> None:
        if len(self._outcomes) == WINDOW:
            self._failures -= self._outcomes[0]
        self._outcomes.append(failed)
        self._failures += failed
