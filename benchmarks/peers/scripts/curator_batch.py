"""curator: `curator.LLM` over a list of prompts, the openai backend at the server's address, limits out of the way, no cache kept."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from lines import KEY, MODEL, given, prompts, write

os.environ.setdefault("OPENAI_API_KEY", KEY)
os.environ.setdefault("TELEMETRY_ENABLED", "0")
os.environ.setdefault("CURATOR_VIEWER", "0")

# The tokenizer it would fetch from the network lies in litellm, which it brings along.
_litellm = find_spec("litellm")
if _litellm is not None and _litellm.origin is not None:
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(Path(_litellm.origin).parent / "litellm_core_utils" / "tokenizers"))

from bespokelabs import curator  # noqa: E402 - it reads the variables above as it is imported

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
