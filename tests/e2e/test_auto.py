"""`-c auto` as a user types it, at the simulator: it runs, says what it found, and keeps to its cap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchllm.cli.closing import closing_lines

JOB = "".join(f'{{"custom_id": "doc-{number}", "prompt": "Sum up {number}"}}\n' for number in range(100))
SIDECAR = 'provider = "simulator"\nmodel = "simulated-1"\n\n[simulator.latency]\nmedian_s = 0.05\n'


def auto(folder: Path, *flags: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    (folder / "job.jsonl").write_text(JOB)
    (folder / "job.toml").write_text(SIDECAR)
    command = [sys.executable, "-m", "batchllm", "run", "job.jsonl", "-o", "out", "--no-report", *flags]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    summary = folder / "out" / "summary.json"
    return ended, json.loads(summary.read_text()) if summary.exists() else {}


def test_it_answers_every_line_and_names_no_number_that_it_did_not_find(tmp_path: Path) -> None:
    ended, summary = auto(tmp_path, "-c", "auto", "--limit", "6")
    assert ended.returncode == 0
    assert summary["request_counts"]["completed"] == 6
    assert "concurrency_found" not in summary
    assert "in flight" not in "".join(closing_lines(summary))
    assert "  in flight 1,024 at a time, as --concurrency auto found" in closing_lines({**summary, "concurrency_found": 1024})


def test_max_concurrency_is_its_cap(tmp_path: Path) -> None:
    ended, summary = auto(tmp_path, "-c", "auto", "--max-concurrency", "5", "--limit", "80")
    assert ended.returncode == 0
    assert max(summary["series"][-1]["in_flight"]) <= 5
    assert max(summary["series"][-1]["limit"]) == 5


@pytest.mark.parametrize("value", ["many", "0", "1.5"])
def test_anything_else_is_refused_by_name(tmp_path: Path, value: str) -> None:
    ended, _ = auto(tmp_path, f"--concurrency={value}")
    assert ended.returncode == 2
    assert "concurrency" in ended.stderr
    assert "auto" in ended.stderr
    assert "Traceback" not in ended.stderr
