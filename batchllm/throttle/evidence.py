"""When a window has told enough: a clear gain at once, a close comparison only after a while. Pure.

Wrong in favour of more is cheap and found out on the way down; wrong against it would end the search too low. So what ends a
window early is a gain of a higher level, a loss of a lower one, or a loss beyond doubt.
"""

from __future__ import annotations

from math import hypot

from batchllm.throttle.goodput import KEEP, Known, Window

WINDOW_S, NOISY_S = 2.0, 5.0
LEAST, MOST, ROUNDS, BLOCKS = 4, 64, 3, 4
PRECISE, PRECISE_FAR = 0.02, 0.03
"""When a window knows enough: the standard error of its goodput, and that for a doubling, which has more to show."""
ROUGH, ROUGH_S = 0.1, 1.0
"""That of the windows on the first way up: more are tried next whatever one of them says."""
CLEAR = 1.5
"""Standard errors beyond what a higher level has to gain, and it is held at once."""
LOST = 2.5
"""Standard errors below what a lower level has to keep, and it is not looked at any longer."""
SURE = 4.0
"""Standard errors that something may be off before it counts as a change, or as hopeless."""
HOPELESS = 0.6


def rough(window: Window, level: int, now: float) -> bool:
    """Whether a window of the climb can do: half a round, or a whole one and a second where that tells little."""
    if window.count < LEAST or window.count * 2 < level:
        return False
    return window.error <= ROUGH or (window.count >= level and now - window.since >= ROUGH_S)


def gains(window: Window, level: int, held: Known) -> bool:
    """Whether a higher level is clearly worth it, by half a round; what queues is slow at first, never fast."""
    if window.count < LEAST or window.count * 2 < level:
        return False
    return KEEP * window.goodput() > held.goodput * (1 + CLEAR * hypot(window.error, held.error))


def loses(window: Window, level: int, held: Known) -> bool:
    """Whether a lower level is clearly not enough, by half a round. Where that is wrong, all stays as it is."""
    if window.count < LEAST or window.count * 2 < level:
        return False
    return window.goodput() * (1 + LOST * hypot(window.error, held.error)) < KEEP * held.goodput


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
