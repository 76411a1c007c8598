"""What tests share: the real command in a subprocess, a simulator on a thread, folders read back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchllm.simulator import SimulatorOptions, run_in_thread


def pytest_configure() -> None:
    """`nohup` and a shell's `&` hand ignored signals down, which a run respects; the tests send them to runs of their own."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


CLEAN = ("OPENAI_API_KEY", "OPENAI_BASE_URL")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


class Command:
    """`batchllm …` as a user runs it: a process of its own, in a folder of its own, without anybody's keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if name not in CLEAN and not name.startswith("BATCHLLM_")
        }

    def __call__(self, *args: str | Path, timeout: float = 60, stdin: str | None = None, **environment: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "batchllm", *map(str, args)],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            timeout=timeout,
            input=stdin if stdin is not None else "",
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def write(self, name: str, *lines: Any) -> Path:
        """A JSONL file; texts are written as they are."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join((one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n" for one in lines)
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The base URL of a simulator without faults or limits, shared by the session."""
    with run_in_thread(SimulatorOptions(seed=1)) as hosted:
        yield hosted.base_url


def records(path: Path) -> list[dict[str, Any]]:
    """The lines of a results or errors file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def by_id(path: Path) -> dict[str, dict[str, Any]]:
    return {one["custom_id"]: one for one in records(path)}
