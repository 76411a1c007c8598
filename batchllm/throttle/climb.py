"""The way up at the start of a run: doubled round by round, for as long as more gets more done. Pure.

As in BBR's startup (draft-cardwell-ccwg-bbr, "Estimating when Startup has Filled the Pipe"): one round that brought little
may have been bad luck, two in a row are the server's own. Too high is found out on the way down, where everything is busy;
to stop too low costs half of what the server could do.
"""

from __future__ import annotations

GROWS = 1.15
"""What a doubling has to bring at least, to what the last one that brought so much had."""
FALLS, IDLE = 0.92, 2


class Climb:
    """Asked once for each level, whether to double again."""

    __slots__ = ("_idle", "_reached")

    def __init__(self) -> None:
        self._reached = 0.0
        self._idle = 0

    def goes_on(self, goodput: float) -> bool:
        """`goodput` is that of the level just measured, roughly."""
        if goodput >= GROWS * self._reached:
            self._reached, self._idle = goodput, 0
            return True
        self._idle += 1
        return self._idle < IDLE and goodput >= FALLS * self._reached
