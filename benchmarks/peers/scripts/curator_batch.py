"""curator: `curator.LLM` over a list of prompts, the openai backend at the server's address, limits out of the way, no cache kept."""

from __future__ import annotations

import os
import tempfile

from lines import KEY, MODEL, given, prompts, write

os.environ.setdefault("OPENAI_API_KEY", KEY)
os.environ.setdefault("TELEMETRY_ENABLED", "0")
os.environ.setdefault("CURATOR_VIEWER", "0")

from bespokelabs import curator

UNLIMITED = 100_000_000


def main() -> None:
    asked = given()
    lines = prompts(asked.job)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CURATOR_CACHE_DIR"] = folder
        model = curator.LLM(
            model_name=MODEL, backend="openai", generation_params={"max_tokens": lines[0][2]},
            backend_params={
                "base_url": asked.base_url, "max_requests_per_minute": UNLIMITED, "max_tokens_per_minute": UNLIMITED,
                "max_concurrent_requests": asked.concurrency,
            },
        )  # fmt: skip
        replies = model([prompt for _, prompt, _ in lines])
        rows = replies.dataset if hasattr(replies, "dataset") else replies
        write(asked.out, [(line[0], row["response"]) for line, row in zip(lines, rows, strict=True)])


if __name__ == "__main__":
    main()
