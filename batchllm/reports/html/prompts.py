"""The prompts of the rows a page shows, out of the job file, where it is still the one that was run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from batchllm.errors import JobError
from batchllm.journal.soundness import parsed
from batchllm.reports.html.rows import CLIP, Row
from batchllm.sources.raw_lines import raw_lines
from batchllm.types import Json

MAX_LINE = 1 << 22
"""A longer line is shown without its prompt."""


def add_prompts(rows: Iterable[Row], job: Json) -> bool:
    """Fill in `prompt`; False where the job file is gone or has changed, and nothing could be told."""
    path = Path(str(job.get("path")))
    try:
        if not path.is_file() or path.stat().st_size != job.get("bytes"):
            return False
        _read(path, {row.line: row for row in rows if row.line})
    except (OSError, JobError):
        return False
    return True


def _read(path: Path, wanted: dict[int, Row]) -> None:
    last = max(wanted, default=0)
    for number, raw in raw_lines(path, MAX_LINE):
        if number > last:
            return
        row = wanted.get(number)
        if row is None:
            continue
        try:
            line = parsed(raw)
        except ValueError:
            continue
        if line.get("custom_id", row.custom_id) == row.custom_id:
            row.prompt = prompt_of(line)[:CLIP]


def prompt_of(line: Json) -> str:
    """What a line asks: its prompt, the last message a user wrote, or the input of an embedding."""
    body = line.get("body")
    asked = body if isinstance(body, dict) else line
    for name in ("prompt", "input", "turns"):
        if asked.get(name):
            return _text(asked[name])
    messages = asked.get("messages")
    if not isinstance(messages, list):
        return ""
    users = [one.get("content") for one in messages if isinstance(one, dict) and one.get("role") == "user"]
    return _text(users[-1]) if users else ""


def _text(value: Any) -> str:
    """Texts one below the other; parts that are no text by their kind."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(_text(one) for one in value[:50])
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            return str(value["text"])
        return _text(value["content"]) if "content" in value else f"[{value.get('type', '…')}]"
    return str(value)
