"""lm-deluge: a model registered at the server's address, `LLMClient.process_prompts_sync` with limits out of the way."""

from __future__ import annotations

import os

from lines import KEY, MODEL, given, prompts, write

os.environ.setdefault("BENCHMARK_KEY", KEY)

from lm_deluge import LLMClient
from lm_deluge.models import register_model

UNLIMITED = 100_000_000


def main() -> None:
    asked = given()
    lines = prompts(asked.job)
    register_model(id=MODEL, name=MODEL, api_base=asked.base_url, api_key_env_var="BENCHMARK_KEY", provider="openai")
    client = LLMClient(
        MODEL, max_requests_per_minute=UNLIMITED, max_tokens_per_minute=UNLIMITED, max_concurrent_requests=asked.concurrency,
        max_new_tokens=lines[0][2],
    )  # fmt: skip
    replies = client.process_prompts_sync([prompt for _, prompt, _ in lines], show_progress=False)
    write(
        asked.out,
        [(line[0], reply.completion if reply is not None else None) for line, reply in zip(lines, replies, strict=True)],
    )


main()
