"""When the whole pool waits: refusals are the majority of what came back lately, so the door is closed."""

from __future__ import annotations

from collections import deque

WINDOW_S = 5.0
AT_LEAST = 5
FIRST_S = 5.0
"""The first wait, however long the server says: whoever met the refusal keeps to that, but many servers overstate it."""
UNTOLD_MAX_S = 60.0
TRUSTED = 5
"""Knocks at a server's own hint that may be refused before the wait grows beyond the hint."""
KNOCK_S = 0.5
"""Refusals come at once and answers do not: a knock that was not refused by then has been let in."""


class MajorityPause:
    """Keeps the outcomes of the last five seconds; `until` is when the pool may send again (monotonic seconds).

    The pool waits as long as the server says, but five seconds at first. Then one request knocks, and the others follow
    where it is not refused within half a second; else the pool waits twice as long as before. Answers to what was sent
    before the door closed do not count.
    """

    __slots__ = ("_before", "_bound", "_kept", "_knocked_at", "_outcomes", "_refusals", "closed_at", "still_closed", "until")

    def __init__(self) -> None:
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=4096)
        self._refusals = self._before = 0
        self._bound = FIRST_S
        self._kept = 0
        self.closed_at = float("-inf")
        self.still_closed = False
        self._knocked_at: float | None = None
        self.until = float("-inf")

    @property
    def watching(self) -> bool:
        """Whether answers matter: without a refusal in the window there is no majority to count, and no list to keep."""
        return self.still_closed or self._refusals > 0

    def wait(self, now: float) -> float:
        """Seconds until one may go, as far as the door is concerned; 0 or less if now."""
        if self._knocked_at is None:
            return self.until - now
        wait = self._knocked_at + KNOCK_S - now
        if wait <= 0:
            self._open()
        return wait

    def _open(self) -> None:
        self.still_closed, self._knocked_at = False, None

    def sent(self, now: float) -> None:
        """To be told while `still_closed`."""
        self._knocked_at = now

    def answered(self, sent_at: float, now: float) -> None:
        if self.still_closed and sent_at >= self.closed_at:
            self._open()
        if self._refusals:
            self._add(now, refused=False)

    def refused(self, sent_at: float, now: float, hint: float, before: int = 0) -> bool:
        """Count a refusal, whose server asks for `hint` seconds (0: it does not say); True if it closes the door.

        `before` is how many were answered just before, which nobody counted while there was no refusal.
        """
        if sent_at < self.closed_at:
            return False
        if not self._refusals:
            self._before = before
        self._add(now, refused=True)
        if self.still_closed:
            self._bound *= 2
            self._kept += 1
        elif len(self._outcomes) < AT_LEAST or self._refusals * 2 <= len(self._outcomes) + self._before:
            return False
        else:
            self._bound, self._kept = FIRST_S, 0
        self._bound = min(self._bound, self._most(hint))
        self._close(now)
        return True

    def told(self, now: float, wait_s: float) -> None:
        """Somebody else who asks the same endpoint closes the door for so long: keep to it, unless it is closed for longer."""
        if not self.still_closed:
            self._bound, self._kept = FIRST_S, 0
            self.closed_at, self.still_closed = now, True
            self._outcomes.clear()
            self._refusals = 0
        self._knocked_at = None
        self.until = max(self.until, now + wait_s)

    def _most(self, hint: float) -> float:
        """The longest wait for this hint. One that was kept and met another refusal was too short: some servers charge
        what they refuse, and a knock at just their pace would be refused for ever."""
        if not hint:
            return UNTOLD_MAX_S
        return hint if self._kept < TRUSTED else max(hint, min(UNTOLD_MAX_S, hint * 2 ** min(self._kept - TRUSTED + 1, 10)))

    def _close(self, now: float) -> None:
        self.closed_at, self.still_closed, self._knocked_at = now, True, None
        self.until = max(self.until, now + self._bound)
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
