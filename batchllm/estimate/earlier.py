"""What earlier answers in the output folder tell of the ones to come: their tokens, their time, their attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from batchllm.errors import JobError
from batchllm.intervals import Moments
from batchllm.journal.envelope import id_and_account
from batchllm.journal.journal import RESULTS
from batchllm.journal.manifest import read_manifest
from batchllm.journal.replay import whole_lines

MOST = 5000
"""Answers that are looked at."""
ENOUGH = 20
"""Answers from which on they tell more than any tokenizer of ours."""


@dataclass(slots=True)
class Earlier:
    """Answers that are there already. `prompts` holds, by custom_id, the digest of a line and the tokens of its prompt.

    `written` is what all attempts of a line wrote together, `seconds` the time of one request.
    """

    prompts: dict[str, tuple[str, int]] = field(default_factory=dict)
    written: Moments = field(default_factory=Moments)
    seconds: Moments = field(default_factory=Moments)
    requests: Moments = field(default_factory=Moments)

    @property
    def enough(self) -> bool:
        return self.written.count >= ENOUGH


def earlier_answers(folder: Path, model: str | None) -> Earlier:
    """What the folder holds of this model's answers; nothing where it cannot be read: that is a run's business."""
    found = Earlier()
    try:
        manifest = read_manifest(folder)
        if manifest is None or manifest.shaping.get("model") != model:
            return found
        for _, _, (custom_id, facts) in islice(whole_lines(folder / RESULTS, id_and_account), MOST):
            if isinstance(facts, dict):
                _add(found, custom_id, facts)
    except (JobError, OSError):
        return found
    return found


def _add(found: Earlier, custom_id: str, facts: dict[str, object]) -> None:
    usage, attempts, latency = facts.get("usage"), facts.get("attempts"), facts.get("latency_s")
    if not isinstance(usage, dict) or not isinstance(attempts, int):
        return
    prompt, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if isinstance(written, int):
        found.written.add(written)
    if isinstance(prompt, int) and attempts == 1:
        found.prompts[custom_id] = (str(facts.get("digest")), prompt)
    if isinstance(latency, int | float):
        found.seconds.add(latency)
        found.requests.add(attempts)
