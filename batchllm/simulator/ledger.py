"""The outside witness: a line for each answer that was made and billed, written before the reply is sent."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson


class Ledger:
    """An append-only JSONL file.

    Each line goes out in one `os.write` to a file opened with O_APPEND, so several servers may share the file
    and a killed one leaves whole lines only.
    """

    __slots__ = ("_descriptor",)

    def __init__(self, path: str | Path) -> None:
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644
        )

    def note(self, record: Mapping[str, Any]) -> None:
        os.write(self._descriptor, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        os.close(self._descriptor)
