"""`batchllm report`, and the page each run leaves: there when it helps, never in the way of the run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from batchllm.cli.report_command import leave_report
from tests.conftest import Command

JOB = [{"custom_id": f"line-{n}", "prompt": f"Say {n}", "max_tokens": 900} for n in range(1, 13)]
SIMULATED = ("--provider", "simulator", "--model", "m")


def test_a_run_leaves_a_page_and_its_course_over_time(command: Command) -> None:
    job = command.write("job.jsonl", *JOB)
    ended = command("run", job, "-o", "out", *SIMULATED, "--json")
    assert ended.code == 0, ended.err
    assert "out/report.html" in ended.err
    page = (command.folder / "out/report.html").read_text()
    assert "12 answered" in page
    assert "Say 7" in page
    summary = json.loads((command.folder / "out/summary.json").read_bytes())
    assert summary["series"][0]["done"][-1] == 12
    assert "series" not in ended.summary
    assert json.loads((command.folder / "out/job.json").read_bytes())["settings"]["prices_used"] == {"m": None}


def test_a_run_that_goes_on_draws_both_of_its_parts(command: Command) -> None:
    job = command.write("job.jsonl", *JOB)
    command("run", job, "-o", "out", *SIMULATED, "--limit", "5")
    command("run", job, "-o", "out", *SIMULATED)
    idle = command("run", job, "-o", "out", *SIMULATED)
    series = json.loads((command.folder / "out/summary.json").read_bytes())["series"]
    assert [one["done"][-1] for one in series] == [5, 7]
    assert "report.html" not in idle.err  # nothing happened: the page is still true
    assert "12 answered" in (command.folder / "out/report.html").read_text()


@pytest.mark.parametrize("how", ["flag", "setting"])
def test_no_page_is_left_where_none_is_wanted(command: Command, how: str) -> None:
    job = command.write("job.jsonl", *JOB)
    command.write("job.toml", "report = false" if how == "setting" else "")
    flags = ("--no-report",) if how == "flag" else ()
    assert command("run", job, "-o", "out", *SIMULATED, *flags).code == 0
    assert not (command.folder / "out/report.html").exists()
    made = command("report", "out")
    assert (made.code, made.out) == (0, "out/report.html\n")


def test_a_page_that_cannot_be_made_changes_nothing_of_the_run(command: Command) -> None:
    job = command.write("job.jsonl", *JOB)
    (command.folder / "out/report.html").mkdir(parents=True)
    (command.folder / "out/report.html/full").touch()
    ended = command("run", job, "-o", "out", *SIMULATED)
    assert ended.code == 0
    assert "could not be written" in ended.err
    assert (command("report", "out").code, command("report", "nowhere").code) == (74, 65)


def test_a_folder_too_large_to_be_read_unasked_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "results.jsonl").open("wb") as file:
        os.truncate(file.fileno(), 3 << 30)  # a hole: it takes no room
    leave_report(tmp_path, quiet=False)
    assert "`batchllm report" in capfd.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_two_runs_are_compared_on_one_page(command: Command) -> None:
    job = command.write("job.jsonl", *JOB)
    for model in ("a", "b"):
        assert command("run", job, "-o", model, "--provider", "simulator", "--model", model, "--no-report").code == 0
    made = command("report", "a", "b", "-o", "both.html")
    assert (made.code, made.out) == (0, "both.html\n")
    page = (command.folder / "both.html").read_text()
    assert "12 differ" in page
    assert "Side by side" in page


def test_what_a_run_would_cost_is_told_before_it_is_sent(command: Command) -> None:
    job = command.write("job.jsonl", *JOB)
    flags = ("--provider", "openai", "--model", "gpt-4o-mini")
    told = command("run", job, "--dry-run", *flags, OPENAI_API_KEY="none")
    assert "for the prompts alone, at most about $" in told.err
    assert "genai-prices" in told.err
    found = json.loads(command("check", job, "--json", *flags, OPENAI_API_KEY="none").out)["estimate"]
    assert 0 < found["cost_usd"]["least"] < found["cost_usd"]["most_as_provider_batch"] < found["cost_usd"]["most"] < 0.01


def test_costs_by_the_settings_prices_stand_on_the_page(command: Command) -> None:
    job = command.write("job.jsonl", *JOB)
    command.write("job.toml", '[prices."m"]\ninput = 100\noutput = 200')
    command("run", job, "-o", "out", *SIMULATED)
    summary = json.loads((command.folder / "out/summary.json").read_bytes())
    page = (command.folder / "out/report.html").read_text()
    assert f"${summary['cost_usd']:.3g}" in page
    assert "m $100.00 read, $200.00 written ([prices])" in page
