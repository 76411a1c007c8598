"""The embedded endpoint: answers that cost nothing and mean nothing."""

from __future__ import annotations

from batchllm.providers.provider import Provider

SIMULATOR = Provider(
    "simulator", "the embedded endpoint (simulated answers)",
    auth="none", structured="json_schema", local=True, simulated=True,
    notes=(
        "Runs within the program, without key or network; its answers are made up, and every record says so.",
        "Is never fallen back to: a job or a flag has to name it.",
    ),
    docs="simulator",
)  # fmt: skip
