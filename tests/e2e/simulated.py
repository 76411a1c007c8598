"""One run of the real pipeline against the simulator, over real sockets, on a loop whose clock jumps over waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchllm import assembly
from batchllm.configuration import Configuration
from batchllm.pipeline import Run
from batchllm.providers import provider
from batchllm.settings import checked
from batchllm.simulator import Simulator, SimulatorOptions
from batchllm.simulator.dialects import DIALECTS
from batchllm.supervisor import supervise
from tests.e2e import jumping

KEY = "sk-test-0123456789abcdef"
SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["yes", "no"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["label", "score"],
    "additionalProperties": False,
}
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """`stats` and `ledger` are the simulator's word, everything else ours; `seconds` are the loop's, waits included."""

    summary: dict[str, Any]
    folder: Path
    stats: dict[str, Any]
    seconds: float

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    @property
    def results(self) -> list[dict[str, Any]]:
        return self.lines("results.jsonl")

    @property
    def errors(self) -> list[dict[str, Any]]:
        return self.lines("errors.jsonl")

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Attempts that came to no record."""
        return [note for note in self.lines("attempts.jsonl") if "record" not in note]

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """One entry for every answer the simulator made and would have billed."""
        return self.lines("../ledger.jsonl")

    @property
    def exit_code(self) -> int:
        return int(self.summary["ended"]["exit_code"])

    @property
    def counts(self) -> tuple[int, int, int]:
        """Completed, failed, pending."""
        counts = self.summary["request_counts"]
        return counts["completed"], counts["failed"], counts["pending"]


def prompts(count: int, **more: Any) -> list[Line]:
    return [{"custom_id": f"doc-{number}", "prompt": f"Tell about {number}", **more} for number in range(1, count + 1)]


def perform(
    tmp_path: Path,
    lines: Sequence[Line],
    *,
    dialect: str = "openai",
    options: Mapping[str, Any] | None = None,
    key: str = KEY,
    **settings: Any,
) -> Outcome:
    """Run these lines against a simulator that speaks the dialect, with the provider of that name unless another is set.

    `provider` beside `base_url` means that provider's habits at another address.
    """
    return jumping.run(_performed(tmp_path, lines, dialect, dict(options or {}), key, settings))


async def _performed(
    tmp_path: Path, lines: Sequence[Line], dialect: str, options: dict[str, Any], key: str, settings: dict[str, Any]
) -> Outcome:
    job = tmp_path / "job.jsonl"
    job.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = {"seed": 1, "dialect": dialect, "ledger": str(tmp_path / "ledger.jsonl"), "answer_words": 12, **options}
    if takes_a_key(dialect):
        options.setdefault("api_key", KEY)
    async with Simulator(SimulatorOptions(**options)) as simulator:
        loop = asyncio.get_running_loop()
        values = {"provider": dialect, "base_url": address(dialect, simulator.base_url), "model": "simulated-1", **settings}
        if "providers" not in values:
            values["api_key_env"] = "TEST_KEY"
        configuration = Configuration(checked(values, {}), {"TEST_KEY": key})
        run = Run(assembly.parts(configuration, job, tmp_path / "out", command="batchllm run", base_url=None))
        run.prepare()
        begun = loop.time()
        try:
            await supervise(run, signals=False)
        finally:
            seconds = loop.time() - begun
            summary = run.conclude()
        return Outcome(summary, tmp_path / "out", simulator.stats, seconds)


def takes_a_key(dialect: str) -> bool:
    return provider(dialect).auth != "none"


def address(dialect: str, base_url: str) -> str:
    """Azure's is the resource, without a path; the deployment's path is ours to make."""
    return base_url.removesuffix("/v1") if dialect == "azure" else base_url


def schema_file(tmp_path: Path) -> str:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(SCHEMA))
    return str(path)


EVERY = tuple(DIALECTS)
