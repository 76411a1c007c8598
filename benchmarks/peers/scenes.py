"""What is measured: one job after another, each against one of the neutral server's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["work", "waiting", "memory"]


@dataclass(frozen=True, slots=True)
class Scene:
    """`path` is where the neutral server has the answer that is wanted; with `latency_ms` the late server answers.

    `kind` says what counts: CPU and rate of work, the share of the ideal while waiting, the peak of memory. Peers with a smaller
    `share` than `least` do not take part.
    """

    name: str
    told: str
    kind: Kind = "work"
    lines: int = 10_000
    concurrency: int = 64
    path: str = ""
    tls: bool = False
    streams: bool = False
    prompt_bytes: int = 300
    latency_ms: float = 0.0
    ours_only: bool = False
    least: float = 0.0
    rounds: int | None = None


SCENES = (
    Scene("plain", "answers of 600 bytes, 64 in flight"),
    Scene("tls", "the same over TLS", tls=True),
    Scene("large", "prompts and answers of 20 KB", lines=4000, path="/large", prompt_bytes=20_000),
    Scene("refusals", "one in twenty is refused with 429 and Retry-After: 1", path="/refusals"),
    Scene("streaming", "the same answer as a stream of events", lines=4000, path="/stream", streams=True),
    Scene("wait 100", "answers after 200 ms, 100 in flight", "waiting", 4_000, 100, latency_ms=200.0),
    Scene("wait 1000", "answers after 200 ms, 1,000 in flight", "waiting", 30_000, 1000, latency_ms=200.0),
    Scene("wait 4000", "answers after 200 ms, 4,000 in flight", "waiting", 40_000, 4000, latency_ms=200.0),
    Scene("memory 5k", "5,000 lines", "memory", 5_000, rounds=1),
    Scene("memory 20k", "20,000 lines", "memory", 20_000, least=0.2, rounds=1),
    Scene("memory 80k", "80,000 lines", "memory", 80_000, least=0.4, rounds=1),
    Scene("memory 1M", "1,000,000 lines", "memory", 1_000_000, rounds=1, ours_only=True),
)


def lines_for(scene: Scene, share: float, *, quick: bool) -> int:
    """Lines that a peer of this share gets: all of them where memory is measured; two for each slot at least where one waits."""
    if scene.kind == "memory":
        return scene.lines // 50 if quick else scene.lines
    if scene.kind == "waiting":
        return max(int(scene.lines * share) // (10 if quick else 1), 2 * scene.concurrency)
    return max(200, int(scene.lines * share) // (5 if quick else 1))
