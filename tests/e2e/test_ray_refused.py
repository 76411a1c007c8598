"""`--engine ray` where it cannot work: said before anything is touched. No Ray is needed for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import ROOT

RAY = "import sys; sys.modules['ray'] = {ray}; from batchllm.cli import main; sys.exit(main(sys.argv[1:]))"
ABSENT, PRESENT = "None", "__import__('types').ModuleType('ray'); sys.modules['ray'].__spec__ = sys.__spec__"
REFUSED = {
    "not installed": (ABSENT, (), {}, "the engine 'ray' needs a package: pip install 'batchllm[ray]'"),
    "an address without a port": (PRESENT, ("--ray-address", "head"), {}, "the Ray address head should be HOST:PORT"),
    "a client's address": (PRESENT, (), {"RAY_ADDRESS": "ray://head:10001"}, "the Ray address ray://head:10001 is a client's"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_run_that_ray_cannot_serve_is_refused_before_a_folder_is_made(tmp_path: Path, why: str) -> None:
    ray, flags, environment, said = REFUSED[why]
    (tmp_path / "job.jsonl").write_text('{"prompt": "hello"}\n')
    argv = ["run", "job.jsonl", "-o", "out", "--base-url", "http://127.0.0.1:1/v1", "--model", "m", "--engine", "ray", *flags]
    ended = subprocess.run(
        [sys.executable, "-c", RAY.format(ray=ray), *argv],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()
