"""When the whole pool waits: refusals are the majority of what came back lately, so the door is closed."""

from __future__ import annotations

from collections import deque

WINDOW_S = 5.0
AT_LEAST = 5


class MajorityPause:
    """Keeps the outcomes of the last five seconds; `until` is when the pool may send again (monotonic seconds)."""

    __slots__ = ("_outcomes", "_refusals", "until")

    def __init__(self) -> None:
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=4096)
        self._refusals = 0
        self.until = float("-inf")

    def answered(self, now: float) -> None:
        # Without a refusal in the window there is no majority to count, and the hot path keeps no list.
        if self._refusals:
            self._add(now, refused=False)

    def refused(self, now: float, wait_s: float) -> bool:
        """Count a refusal; True if it closes the door for `wait_s` seconds."""
        self._add(now, refused=True)
        if len(self._outcomes) < AT_LEAST or self._refusals * 2 <= len(self._outcomes):
            return False
        self.close(now + wait_s)
        return True

    def close(self, until: float) -> None:
        """Close at least until then, and judge afresh afterwards."""
        self.until = max(self.until, until)
        self._outcomes.clear()
        self._refusals = 0

    def _add(self, now: float, *, refused: bool) -> None:
        outcomes = self._outcomes
        if len(outcomes) == outcomes.maxlen:
            self._drop()
        outcomes.append((now, refused))
        self._refusals += refused
        while outcomes[0][0] < now - WINDOW_S:
            self._drop()

    def _drop(self) -> None:
        _, was_refusal = self._outcomes.popleft()
        self._refusals -= was_refusal
