"""The command line against a fault server on another thread: in this process, or in one of its own for signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batchllm import cli
from tests.e2e.trial import CANARY

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """What a command came to. `folder` is where it wrote."""

    code: int
    out: str
    err: str
    folder: Path

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_bytes().split(b"\n") if line] if path.exists() else []

    @property
    def answered(self) -> list[str]:
        return sorted(record["custom_id"] for record in self.lines("results.jsonl"))

    @property
    def failed(self) -> dict[int, str]:
        """Messages of what failed, by line number."""
        return {record["batchllm"]["line"]: record["error"]["message"] for record in self.lines("errors.jsonl")}

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_bytes())
        return found


def environment(base_url: str | None, key: str = CANARY, **more: str) -> dict[str, str]:
    """As few variables as a cron job has, and the endpoint's."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "PYTHONWARNINGS": "error", **more}
    if base_url is not None:
        given |= {"BATCHLLM_BASE_URL": base_url, "BATCHLLM_MODEL": "test-model", "OPENAI_API_KEY": key}
    return given


@dataclass
class Commands:
    """Runs commands in a folder of its own, against one endpoint."""

    folder: Path
    base_url: str | None
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, *argv: str | Path, output: str = "out") -> Ended:
        """`batchllm ARGV` in this process; `-o` is added to `run`."""
        words = [str(word) for word in argv]
        if words[0] == "run":
            words += ["-o", str(self.folder / output)]
        self.monkeypatch.chdir(self.folder)
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("OPENAI", "BATCHLLM"))]:
                patch.delenv(name)
            for name, value in environment(self.base_url, **self.variables).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["batchllm", *words])
            code = _exit_code(words)
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return Ended(code, out, err, self.folder / output)


def _exit_code(words: list[str]) -> int:
    try:
        return cli.main(words)
    except SystemExit as end:  # argparse
        return end.code if isinstance(end.code, int) else 1


def started(argv: list[str | Path], folder: Path, variables: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
    """`batchllm ARGV` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "batchllm", *map(str, argv)],
        cwd=folder,
        env=dict(variables),
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=options.pop("stderr", subprocess.PIPE),
        **options,
    )
