"""The outside witness: a line for each answer that was made and billed, written before the reply is sent."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from batchllm.simulator.faults import Fault
from batchllm.simulator.reply import Made
from batchllm.simulator.tokens import last_user_text


class Ledger:
    """An append-only JSONL file.

    Each line goes out in one `os.write` to a file opened with O_APPEND, so several servers may share the file
    and a killed one leaves whole lines only.
    """

    __slots__ = ("_descriptor",)

    def __init__(self, path: str | Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)

    def note(self, record: Mapping[str, Any]) -> None:
        os.write(self._descriptor, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        os.close(self._descriptor)


def record_of(digest: str, body: Mapping[str, Any], tag: str | None, made: Made, fault: Fault | None) -> dict[str, Any]:
    """One line: `digest` is SHA-256 of the body as sent, `prompt` its last user text, `tag` X-Request-Tag.

    `fault` names what became of an answer that was made and billed but spoiled, or did not arrive whole.
    """
    prompt = last_user_text(body.get("messages")) or body.get("prompt") or body.get("input")
    return {
        "digest": digest,
        "tag": tag,
        "prompt": prompt,
        "status": 200,
        "prompt_tokens": made.prompt_tokens,
        "completion_tokens": made.completion_tokens,
        "fault": fault,
    }
