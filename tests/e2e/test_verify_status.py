"""`batchllm verify` and `batchllm status` as commands, beside real runs against the embedded endpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchllm.journal.lock import FolderLock
from batchllm.journal.storage import Storage
from batchllm.strictjson import dumps, loads
from batchllm.types import Json

LINES = 12
BOUND_S = 60


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.jsonl"
    path.write_bytes(b"".join(dumps({"custom_id": f"doc-{n}", "prompt": f"Say {n}"}) + b"\n" for n in range(LINES)))
    settings(path)
    return path


def settings(job: Path, simulator: str = "") -> None:
    job.with_suffix(".toml").write_text(
        f'provider = "simulator"\nmodel = "simulated-1"\nconcurrency = 4\n[prices.simulated-1]\ninput = 1.0\noutput = 2.0\n'
        f"[simulator]\n{simulator}\n"
    )


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BATCHLLM_"))}


def batchllm(job: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "batchllm", *words]
    return subprocess.run(command, cwd=job.parent, env=environment(), capture_output=True, text=True, timeout=BOUND_S)


def run(job: Path, *words: str) -> int:
    return batchllm(job, "run", "job.jsonl", "-o", "out", "--quiet", *words).returncode


def verify(job: Path, *words: str) -> Json:
    done = batchllm(job, "verify", "job.jsonl", "out", "--json", *words)
    verdict: Json = loads(done.stdout.encode())
    assert done.returncode == verdict["exit_code"], done.stderr
    return verdict


def status(job: Path) -> Json:
    done = batchllm(job, "status", "out", "--json")
    assert done.returncode == 0, done.stderr
    found: Json = loads(done.stdout.encode())
    return found


def test_a_finished_run_is_proved_and_its_end_told(job: Path) -> None:
    assert run(job) == 0
    assert verify(job)["findings"] == {}
    found = status(job)
    assert (found["state"], found["simulated"], found["stale_summary"]) == ("ended", True, False)
    assert found["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0, "pending": 0, "invalid_lines": 0}
    summary = loads((job.parent / "out" / "summary.json").read_bytes())
    assert found["usage"] == summary["usage"]
    assert found["cost_usd"] == pytest.approx(summary["cost_usd"], abs=2e-6)
    words = batchllm(job, "status", "out").stdout
    assert words.startswith("SIMULATED · out: no run is at work; ended ")
    assert f"{LINES}: {LINES} answered, 0 failed, 0 pending" in words


def test_failures_and_retries_add_up_and_are_told_by_code(job: Path) -> None:
    settings(job, "faults = {length = 0.4, empty = 0.3}\nseed = 3")
    assert run(job) == 1
    verdict = verify(job)
    assert (verdict["verdict"], verdict["findings"]) == ("proved", {})
    found = status(job)
    summary = loads((job.parent / "out" / "summary.json").read_bytes())
    assert found["request_counts"] == summary["request_counts"]
    assert {code: group["count"] for code, group in found["failures"].items()} == {
        code: group["count"] for code, group in summary["failures"].items()
    }
    assert found["last_attempts"]
    words = batchllm(job, "status", "out").stdout
    assert "the last that came to no answer:" in words
    assert words.rstrip().endswith("--quiet --retry-failed")


def test_status_is_told_while_a_run_is_at_work_and_after_it_was_killed(job: Path) -> None:
    settings(job, "latency = {median_s = 300.0}")
    command = [sys.executable, "-m", "batchllm", "run", "job.jsonl", "-o", "out"]
    with subprocess.Popen(command, cwd=job.parent, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("to ask → the simulator" in line for line in process.stderr)
            found = status(job)
            assert (found["state"], found["ended"]) == ("running", None)
            assert str(process.pid) in found["at_work"]
            assert found["pace"]["lines_per_s"] == 0
            assert verify(job)["at_work"] == found["at_work"]
            assert batchllm(job, "verify", "job.jsonl", "out", "--repair").returncode == 75
        finally:
            process.send_signal(signal.SIGKILL)
    found = status(job)
    assert (found["state"], found["at_work"], found["request_counts"]["pending"]) == ("cut off", None, LINES)
    assert "the last one was cut off before its end" in batchllm(job, "status", "out").stdout
    verdict = verify(job)
    assert (verdict["exit_code"], verdict["findings"]["pending"]["count"]) == (1, LINES)
    settings(job)
    assert run(job) == 0
    assert verify(job)["exit_code"] == 0


def test_a_damaged_folder_is_repaired_and_only_what_was_lost_is_asked_again(job: Path) -> None:
    assert run(job) == 0
    results = job.parent / "out" / "results.jsonl"
    lines = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join([*lines[:3], b"\0" * 20 + b"\n", *lines[4:]]))
    assert run(job) == 65
    assert status(job)["damaged_lines"] == 1
    assert verify(job)["verdict"] == "damaged"
    words = batchllm(job, "verify", "job.jsonl", "out", "--repair")
    assert words.returncode == 1
    assert "1 damaged lines (21 bytes) were moved to results.jsonl.damaged-" in words.stdout
    assert "1 lines of the job without a record" in words.stdout
    assert run(job) == 0
    assert verify(job)["exit_code"] == 0
    summary = loads((job.parent / "out" / "summary.json").read_bytes())
    assert summary["this_run"]["completed"] == 1


def test_a_folder_in_use_is_not_repaired(job: Path) -> None:
    assert run(job) == 0
    lock = FolderLock(Storage(), job.parent / "out")
    try:
        assert batchllm(job, "verify", "job.jsonl", "out", "--repair").returncode == 75
    finally:
        lock.close()


def test_results_of_other_tools_are_verified_from_one_file_or_several(job: Path) -> None:
    answer = {"status_code": 200, "request_id": "r", "body": {"choices": []}}
    lines: list[Json] = [{"custom_id": f"doc-{n}", "response": answer, "error": None} for n in range(LINES)]
    vllm = {
        "custom_id": "doc-0",
        "response": {"status_code": 400, "body": None},
        "error": {"error": {"message": "no", "code": 400}},
    }
    output, errors = job.with_name("output.jsonl"), job.with_name("errors.jsonl")
    output.write_bytes(b"".join(dumps(line) + b"\n" for line in lines[1:]))
    errors.write_bytes(dumps(vllm) + b"\n")
    alone = batchllm(job, "verify", "job.jsonl", "output.jsonl")
    assert alone.returncode == 1
    assert "line 1 'doc-0': no record" in alone.stdout
    both = batchllm(job, "verify", "job.jsonl", "output.jsonl", "errors.jsonl")
    assert both.returncode == 0
    assert f"{LINES}: 11 answered, 1 failed, 0 without a record" in both.stdout


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("status", "nowhere"), 65, "nowhere is no folder: nothing was run into it"),
        (("status", "job.jsonl"), 65, "job.jsonl is a file; name the output folder it lies in"),
        (("status", "."), 0, "no run has begun here: there is no job.json"),
        (("verify", "job.jsonl", "nowhere"), 65, "nowhere: there is no such folder or file"),
        (("verify", "job.jsonl", "."), 65, "there is no job.json in it"),
        (("verify", "nowhere.jsonl", "."), 65, "nowhere.jsonl: there is no such file"),
        (("verify", "job.jsonl", ".", "job.jsonl"), 2, "name one output folder, or one or more files"),
        (("verify", "job.jsonl", "job.jsonl", "--repair"), 2, "--repair mends output folders"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence_and_its_exit_code(
    job: Path, words: tuple[str, ...], code: int, sentence: str
) -> None:
    done = batchllm(job, *words)
    assert done.returncode == code
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
