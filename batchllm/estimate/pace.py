"""How long requests take under the limits there are, and which of them binds. Pure; seconds, requests and tokens a minute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may do at once and in a minute; None is no limit of ours."""

    concurrency: int
    rpm: float | None = None
    tpm: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """The least time, and which limit it comes of: `latency` where even all at once would take one answer's time."""

    seconds: float
    binds: str


def pace(requests: float, tokens: float, latency_s: float, limits: Limits) -> Pace:
    """Each limit alone asks for so much time; the slowest decides. Waits for refusals come on top."""
    asked = {"latency": latency_s if requests else 0.0, "concurrency": requests * latency_s / limits.concurrency}
    if limits.rpm is not None:
        asked["rpm"] = 60 * requests / limits.rpm
    if limits.tpm is not None:
        asked["tpm"] = 60 * tokens / limits.tpm
    binds = max(asked, key=asked.__getitem__)
    return Pace(asked[binds], binds)
