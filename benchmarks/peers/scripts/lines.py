"""What the scripts of all peers share: the command line, the prompts of a job, the answers written down. Nothing but the
standard library, since each runs in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

MODEL = "instant"
KEY = "none"


def given() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("base_url")
    parser.add_argument("concurrency", type=int)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--transport", default="")
    return parser.parse_args()


def prompts(job: Path) -> list[tuple[str, str, int]]:
    """`custom_id`, prompt and limit of each line."""
    with job.open("rb") as lines:
        return [(one["custom_id"], one["prompt"], one["max_tokens"]) for one in map(json.loads, lines)]


def write(out: Path, answers: Iterable[tuple[str, str | None]]) -> None:
    with out.open("w", encoding="utf-8") as file:
        for custom_id, answer in answers:
            if answer is not None:
                file.write(json.dumps({"custom_id": custom_id, "answer": answer}) + "\n")
