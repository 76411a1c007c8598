"""The command at the end of a run: what it is given, and that nothing it does harms the run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from batchllm.watching.on_finish import OnFinish
from tests.unit.watching.looked_at import summary


def finish(command: str, timeout_s: float = 20.0, **outer: str) -> None:
    environment = {"PATH": os.environ["PATH"], **outer}
    OnFinish(command, timeout_s, environment, frozenset({"OPENAI_API_KEY"})).finished(summary(), 1)


def test_it_gets_the_summary_as_one_line_on_its_standard_input_and_the_facts(tmp_path: Path) -> None:
    finish(f'cat > {tmp_path}/in; echo "$BATCHLLM_RUN_EXIT_CODE $BATCHLLM_RUN_FAILED $OPENAI_API_KEY." > {tmp_path}/env',
           OPENAI_API_KEY="sk-canary")  # fmt: skip
    line = (tmp_path / "in").read_bytes()
    assert line.count(b"\n") == 1
    told = json.loads(line)
    assert (told["ended"]["exit_code"], told["request_counts"]["total"]) == (1, 1200)
    assert "series" not in told
    assert (tmp_path / "env").read_text() == "1 10 .\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 7", "ended with exit code 7"),
        ("no-such-command", "ended with exit code 127"),
        ("true", ""),
        ("exec <&-; true", ""),
    ],
)
def test_its_failure_is_said_and_raises_nothing(command: str, said: str, capfd: Any) -> None:
    finish(command)
    told = capfd.readouterr().err
    assert (f"note: on_finish {said}" in told) if said else ("note:" not in told)


def test_what_it_prints_goes_to_stderr_so_that_json_stays_alone_on_stdout(capfd: Any) -> None:
    finish("echo printed")
    out, err = capfd.readouterr()
    assert (out, "printed" in err) == ("", True)


def test_one_that_takes_too_long_is_stopped_with_all_it_started(tmp_path: Path, capfd: Any) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    finish(f"sh -c 'echo $$ > {pid}; exec sleep 600' & wait", timeout_s=0.5)
    assert time.monotonic() - began < 10
    assert "took longer than 0.5 s and was stopped" in capfd.readouterr().err
    while alive(int(pid.read_text())):
        assert time.monotonic() - began < 20


def alive(pid: int) -> bool:
    """Whether it runs still; one that ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
