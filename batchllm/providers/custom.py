"""Any other endpoint, known by its address only."""

from __future__ import annotations

from batchllm.providers.provider import Provider

CUSTOM = Provider(
    "custom", "any OpenAI-compatible endpoint", "", ("BATCHLLM_API_KEY", "OPENAI_API_KEY"),
    structured="json_schema",  # what most servers people run take; one that does not says so before it bills anything
    notes=(
        "base_url has to be given; a key is sent if one is set, and only to that host.",
        "What its refusals mean is judged by the general table; an ambiguous quota answer is probed.",
    ),
    docs="custom",
)  # fmt: skip
