"""When a window has told enough: a clear gain at once, a close comparison only after a while. Pure.

Wrong in favour of more is cheap and found out on the way down; wrong against it would end the search too low. So only a
gain, or a loss beyond doubt, ends a window early.
"""

from __future__ import annotations

from math import hypot

from batchllm.throttle.goodput import KEEP, Known, Window

WINDOW_S, NOISY_S = 2.0, 5.0
LEAST, MOST, ROUNDS, BLOCKS = 4, 64, 3, 4
PRECISE, PRECISE_FAR = 0.02, 0.03
"""When a window knows enough: the standard error of its goodput, and that for a doubling, which has more to show."""
ROUGH = 0.1
"""That of the very first window: more are tried next whatever it says."""
CLEAR = 1.5
"""Standard errors beyond what a higher level has to gain, and it is held at once."""
SURE = 4.0
"""Standard errors that something may be off before it counts as a change, or as hopeless."""
HOPELESS = 0.6


def first(window: Window, level: int) -> bool:
    """Whether the first window of all can do: half a round, roughly."""
    return window.count >= LEAST and window.count * 2 >= level and window.error <= ROUGH


def gains(window: Window, level: int, held: Known) -> bool:
    """Whether a higher level is clearly worth it, by half a round; what queues is slow at first, never fast."""
    if window.count < LEAST or window.count * 2 < level:
        return False
    return KEEP * window.goodput() > held.goodput * (1 + CLEAR * hypot(window.error, held.error))


def hopeless(window: Window, level: int, held: Known, now: float) -> bool:
    """Whether what is tried is so much worse that the rest of it need not be waited for."""
    if window.count < LEAST or window.count * 2 < level or now - window.since < WINDOW_S:
        return False
    return window.goodput() * (1 + SURE * window.error) < HOPELESS * held.goodput


def complete(window: Window, level: int, now: float, *, far: bool) -> bool:
    """Whether it has its requests, its seconds and its precision (`far`: that of a doubling), or is too noisy to get it."""
    if window.count < max(LEAST, level) or now - window.since < WINDOW_S:
        return False
    if window.count >= max(MOST, ROUNDS * level) and now - window.since >= NOISY_S:
        return True
    return window.blocks >= BLOCKS and window.error <= (PRECISE_FAR if far else PRECISE)
