"""What is printed for cron and systemd: read by the programs themselves where they are installed, else by their rules."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchllm.cli.arguments import build_parser
from batchllm.cli.cron_example_command import main, nightly
from batchllm.watching.nightly import Nightly, clock, crontab, hours, logrotate, service, timer

NASTY = "50% of 'it' \"$HOME\" \\ ; a"


def night(folder: Path, **more: Any) -> Nightly:
    made = Nightly("extract", ("/bin/true", "run", "job.jsonl"), folder, "01:30", "06:30", 30.0)
    return replace(made, **more)


def cron_runs(text: str) -> tuple[str, str]:
    """The times and the command of the one line of a crontab, as cron reads it: up to the first `%` without a backslash."""
    (line,) = [one for one in text.splitlines() if one and not one.startswith("#") and not re.match(r"\w+=", one)]
    *times, command = line.split(None, 5)
    return " ".join(times), re.sub(r"\\%", "%", re.split(r"(?<!\\)%", command)[0])


def under_cron(command: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "nobody"}
    return subprocess.run(["/bin/sh", "-c", command], env=environment, cwd="/", capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("folder", ["plain", "with blanks and 'quotes'", "50% $HOME"])
@pytest.mark.parametrize(
    ("code", "mailed"), [(0, False), (69, False), (75, False), (1, True), (2, True), (65, True), (77, True)]
)
def test_the_crontab_line_runs_with_an_empty_environment_and_speaks_only_where_a_person_has_to_look(
    tmp_path: Path, folder: str, code: int, mailed: bool
) -> None:
    place = tmp_path / folder
    place.mkdir()
    (place / "env").write_text("OPENAI_API_KEY=sk-canary\n")
    program = place / "program"
    program.write_text(f'#!/bin/sh\npwd; echo "$OPENAI_API_KEY"; for one; do echo "<$one>"; done\nexit {code}\n')
    program.chmod(0o700)
    made = night(place, command=(str(program), "run", NASTY), env_file=place / "env")
    times, command = cron_runs(crontab(made))
    assert times == "30 1 * * *"
    ended = under_cron(command)
    assert made.log.read_text().splitlines() == [str(place), "sk-canary", "<run>", f"<{NASTY}>"]
    assert ended.stderr == ""
    assert (f"exit code {code}" in ended.stdout and str(made.log) in ended.stdout) is mailed
    assert ended.returncode == (code if mailed else 0)


def test_a_folder_that_is_gone_is_mailed(tmp_path: Path) -> None:
    ended = under_cron(cron_runs(crontab(night(tmp_path / "gone")))[1])
    assert ended.returncode != 0
    assert "gone" in ended.stderr


@pytest.mark.parametrize(
    ("at", "until", "begins"),
    [
        ("01:30", "06:30", [1, 2, 3, 4, 5]),
        ("01:30", "06:31", [1, 2, 3, 4, 5, 6]),
        ("22:15", "02:00", [22, 23, 0, 1]),
        ("01:30", "01:30", [*range(1, 24), 0]),
        ("01:30", "01:31", [1]),
    ],
)
def test_a_run_begins_each_hour_and_never_at_or_after_the_deadline(at: str, until: str, begins: list[int]) -> None:
    made = Nightly("x", ("x",), Path("/x"), at, until, 30.0, every_hour=True)
    assert hours(made) == begins
    assert cron_runs(crontab(made))[0] == f"{int(at[3:])} {','.join(map(str, begins))} * * *"
    assert timer(made).count("OnCalendar=") == len(begins)


@pytest.mark.parametrize("text", ["", "1", "24:00", "12:60", "1:5", "aa:bb", "-1:00", "12:00:00"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time of day"):
        clock(text)


def test_every_hour_needs_an_end_and_a_line_too_long_for_cron_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--until"):
        crontab(night(tmp_path, until=None, every_hour=True))
    with pytest.raises(ValueError, match="put settings into a file"):
        crontab(night(tmp_path, command=("/bin/true", "x" * 1000)))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit_and_its_timer(tmp_path: Path) -> None:
    folder = tmp_path / "with blanks 50%"
    folder.mkdir()
    made = night(folder, name="my 50% job", command=("/bin/true", "run", NASTY), env_file=folder / "env")
    for name, text in ((f"{made.unit}.service", service(made)), (f"{made.unit}.timer", timer(made))):
        (tmp_path / name).write_text(text)
    names = [str(tmp_path / f"{made.unit}.{kind}") for kind in ("service", "timer")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, timeout=60)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if made.unit in line]
    assert ours == []


def sections(text: str) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section.setdefault(name, []).append(value)
    return found


def test_the_unit_is_started_again_within_the_night_only_and_75_is_no_failure(tmp_path: Path) -> None:
    told = sections(service(night(tmp_path)))["Service"]
    assert told["RestartForceExitStatus"] == ["69 75"]
    assert "75" in told["SuccessExitStatus"][0].split()
    assert float(told["TimeoutStopSec"][0]) > 30 + 60
    assert told["KillMode"] == ["mixed"]
    assert "ExecCondition" not in sections(service(night(tmp_path, until=None)))["Service"]


@pytest.mark.parametrize(
    ("at", "until", "inside", "outside"),
    [("01:30", "06:30", ["0130", "0400", "0629"], ["0129", "0630", "1200", "2359"]),
     ("22:00", "06:30", ["2200", "2359", "0000", "0629"], ["0630", "1200", "2159"])],
)  # fmt: skip
def test_the_units_condition_is_true_by_night(
    tmp_path: Path, at: str, until: str, inside: list[str], outside: list[str]
) -> None:
    (condition,) = sections(service(night(tmp_path, at=at, until=until)))["Service"]["ExecCondition"]
    script = condition.removeprefix("/bin/sh -c '").removesuffix("'").replace("$$", "$").replace("%%", "%")
    for now in (*inside, *outside):
        done = subprocess.run(["/bin/sh", "-c", script.replace("$(date +%H%M)", now)], timeout=10)
        assert (done.returncode == 0) is (now in inside), now


def test_logrotate_copies_since_a_run_may_hold_the_log_open(tmp_path: Path) -> None:
    text = logrotate(night(tmp_path))
    assert text.startswith(f'"{tmp_path}/logs/extract.log" {{\n')
    assert "copytruncate" in text
    assert text.rstrip().endswith("}")


def printed(argv: list[str]) -> tuple[int, Nightly]:
    args = build_parser(argv).parse_args(argv)
    return main(args), nightly(args)


def test_the_command_prints_all_of_it_with_the_options_of_run_that_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("job.jsonl").write_text('{"prompt": "x"}\n')
    argv = ["cron-example", "job.jsonl", "--at", "00:10", "--until", "05:00", "--model", "a b", "--no-stream", "--max-cost", "5",
            "-c", "8", "--retry-failed", "--mailto", "me@example.com"]  # fmt: skip
    code, made = printed(argv)
    out = capsys.readouterr().out
    assert code == 0
    words = list(made.command[made.command.index("run") :])
    asked = build_parser(words).parse_args(words)
    assert (asked.model, asked.stream, asked.max_cost, asked.concurrency, asked.retry_failed, asked.until, asked.quiet) == (
        "a b", False, 5.0, 8, True, "05:00", True,
    )  # fmt: skip
    assert Path(made.command[0]).is_absolute()
    for part in (crontab(made), service(made), timer(made), logrotate(made), "MAILTO=me@example.com", "umask 077"):
        assert part in out


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["-"], "standard input"),
        (["nowhere.jsonl"], "no file"),
        (["job.jsonl", "--webhook", "https://hooks.example.com/SECRET"], "BATCHLLM_WEBHOOK"),
        (["job.jsonl", "--at", "25:00"], "time of day"),
        (["job.jsonl", "--until", "25:00"], "until"),
        (["job.jsonl", "--every-hour"], "--until"),
    ],
)
def test_what_cannot_be_printed_is_refused_in_a_sentence(
    argv: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchllm.errors import JobError

    monkeypatch.chdir(tmp_path)
    Path("job.jsonl").write_text('{"prompt": "x"}\n')
    with pytest.raises(JobError, match=re.escape(why)) as refused:
        printed(["cron-example", *argv])
    assert refused.value.exit_code == 2
    assert "SECRET" not in str(refused.value)
