"""What one endpoint of several came to in this run."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchllm.steps import AnyStep, Done, Onward
from batchllm.tally import Histogram
from batchllm.types import Json, Kind, Usage

_REFUSED = frozenset({Kind.REFUSED, Kind.PROBE, Kind.PAUSE})
_REPLIED = frozenset({Kind.OK, Kind.PAID})


@dataclass(slots=True)
class EndpointTally:
    """Requests by how they ended: `answered` (also where the answer was not valid), `refused` (told to wait), `failed`.

    `latency` is that of answers; `tokens` those that were told.
    """

    answered: int = 0
    refused: int = 0
    failed: int = 0
    tokens: int = 0
    latency: Histogram = field(default_factory=Histogram)

    def add(self, step: AnyStep, usage: Usage | None) -> None:
        kept = step.kept if isinstance(step, Onward) else step
        if usage is not None:
            self.tokens += usage.total_tokens or (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        kind = Kind.OK if isinstance(kept, dict) or kept.verdict is None else kept.verdict.kind
        if kind in _REPLIED:
            self.answered += 1
            facts = kept if isinstance(kept, dict) else kept.record.facts if isinstance(kept, Done) else kept.note
            self.latency.add(facts["latency_s"] or 0.0)
        elif kind in _REFUSED:
            self.refused += 1
        else:
            self.failed += 1

    def as_json(self) -> Json:
        times = self.latency.summary()
        return {
            "requests": self.answered + self.refused + self.failed,
            "answered": self.answered,
            "refused": self.refused,
            "failed": self.failed,
            "tokens": self.tokens,
            "latency_s": {name: times[name] for name in ("p50", "p90")},
        }
