"""The first example of each command's help is run as it is printed there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchllm.cli.arguments import COMMANDS, build_parser
from tests.unit.test_cli_help import examples

ROOT = Path(__file__).parents[2]
NOT_ZERO = {"ctl": 69, "top": 69}
"""Where nothing is at work in the folder, that is the answer."""
STAYS = "simulate"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has what the examples name: the project's job, a table of reviews, and the outputs of both."""
    here = tmp_path_factory.mktemp("desk")
    shutil.copytree(ROOT / "jobs", here / "jobs")
    (here / "reviews.csv").write_text("id,text\n1,Good kettle.\n2,Loud fan.\n")
    for argv in (
        ["run", "jobs/extract.jsonl", "--no-report"],
        ["build", "reviews.csv", "-o", "reviews.jsonl", "--prompt", "{{ text }}"],
        ["run", "reviews.jsonl", "--no-report"],
    ):
        assert ended(here, argv).returncode == 0
    return here


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BATCHLLM_"))}
    return {**inherited, "BATCHLLM_PROVIDER": "simulator", "BATCHLLM_MODEL": "m"}


def command(argv: list[str]) -> list[str]:
    return [sys.executable, "-m", "batchllm", *argv]


def ended(here: Path, argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(argv),
        cwd=here,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def first_example(name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit):
        build_parser([name, "--help"]).parse_args([name, "--help"])
    return examples(name, capsys.readouterr().out)[0]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != STAYS])
def test_the_first_example_of_a_commands_help_does_what_it_says(
    name: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = ended(desk, first_example(name, capsys))
    assert done.returncode == NOT_ZERO.get(name, 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_first_example_of_simulate_serves_until_it_is_told_to_stop(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [("0" if word == "8080" else word) for word in first_example(STAYS, capsys)]  # that port may be another's here
    with subprocess.Popen(
        command(argv), cwd=desk, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout is not None
        assert "http://127.0.0.1:" in run.stdout.readline()
        run.send_signal(signal.SIGTERM)
        run.stdout.read()
        assert run.wait(30) == 0
