"""Estimates, canary and budgets as a user meets them: the real command against the simulator, prices from the settings."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, records

SIDECAR = """\
provider = "simulator"
model = "m"
report = false
[prices.m]
input = 100.0
output = 400.0
"""
LINES = 40


@pytest.fixture
def priced(command: Command) -> Command:
    """Forty lines; about a tenth of a cent a token to read, four to write."""
    command.write(
        "job.jsonl", *({"custom_id": f"doc-{n}", "prompt": f"Tell about {n}", "max_tokens": 400} for n in range(LINES))
    )
    (command.folder / "job.toml").write_text(SIDECAR)
    return command


def outcome(command: Command) -> tuple[int, int]:
    """Records in results, and how many lines were asked first and spread over the job: the highest line number of them."""
    done = records(command.folder / "outputs/job/results.jsonl")
    return len(done), max(one["batchllm"]["line"] for one in done)


# -- canary ------------------------------------------------------------------------------------------------------------


def test_without_a_budget_and_without_anybody_there_only_the_canary_is_sent(priced: Command) -> None:
    ended = priced("run", "job.jsonl", "--canary", "5", "--json")
    assert ended.code == 75
    assert outcome(priced) == (5, 37)
    assert ended.summary["canary"]["lines"] == 5
    assert ended.summary["request_counts"]["pending"] == LINES - 5
    assert re.search(r"cost +about \$[\d.]+ \(\$[\d.]+ to \$[\d.]+\)", ended.err)
    assert "same command goes on with --max-cost" in ended.err
    assert re.search(r"go on .*run job\.jsonl --json\n", ended.err)


def test_cron_that_tries_again_buys_no_second_canary(priced: Command) -> None:
    priced("run", "job.jsonl", "--canary", "5")
    again = priced("run", "job.jsonl", "--canary", "5", "--json")
    assert (again.code, again.summary["requests"]) == (75, 0)
    assert outcome(priced)[0] == 5


def test_it_goes_on_by_itself_within_the_budget_and_not_above_it(priced: Command) -> None:
    low = priced("run", "job.jsonl", "--canary", "5", "--max-cost", "0.5", "--json")
    assert (low.code, low.summary["this_run"]["completed"]) == (75, 5)
    assert "may not hold" in low.summary["ended"]["reason"]
    high = priced("run", "job.jsonl", "--canary", "5", "--max-cost", "50", "--json")
    assert (high.code, high.summary["this_run"]["completed"]) == (0, LINES - 5)
    forecast = high.summary["canary"]["cost_usd"]
    assert forecast["low"] < high.summary["cost_usd"] < forecast["high"]


def test_a_canary_as_long_as_the_job_needs_no_word(priced: Command) -> None:
    ended = priced("run", "job.jsonl", "--canary", "99", "--json")
    assert (ended.code, outcome(priced)[0]) == (0, LINES)
    assert "canary" not in ended.summary


def test_a_canary_of_failing_lines_stops_and_says_why(priced: Command) -> None:
    (priced.folder / "job.toml").write_text(SIDECAR + "[simulator]\nfaults = { refusal = 1.0 }\n")
    ended = priced("run", "job.jsonl", "--canary", "6", "--max-cost", "50")
    assert ended.code == 75
    assert "the canary failed: 6 of 6 lines, most of them: refusal (line" in ended.err
    assert priced("run", "job.jsonl", "--canary", "6", "--max-cost", "50").code == 75
    assert len(records(priced.folder / "outputs/job/errors.jsonl")) == 6


@pytest.mark.parametrize(
    ("answer", "code", "done"), [(b"y\n", 0, LINES), (b"n\n", 75, 5), (b"\n", 75, 5), (b"\x04", 75, 5), (b"\x03", 130, 5)]
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_on_a_terminal_the_rest_waits_for_a_yes(priced: Command, answer: bytes, code: int, done: int) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(priced.folder)
        argv = [sys.executable, "-m", "batchllm", "run", "job.jsonl", "--canary", "5"]
        os.execve(sys.executable, argv, {**priced.environment, "TERM": "xterm"})
    seen, said = b"", False
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while piece := os.read(terminal, 65536):
            seen += piece
            if not said and b"[y/N]" in seen:
                said = bool(os.write(terminal, answer))
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == code, seen.decode()
    assert outcome(priced)[0] == done
    assert b"%|" not in seen.partition(b"[y/N]")[2].partition(b"\n")[0]


# -- budgets -----------------------------------------------------------------------------------------------------------


def test_a_budget_of_tokens_needs_no_price_and_spans_runs(priced: Command) -> None:
    (priced.folder / "job.toml").write_text(SIDECAR.partition("[prices")[0])
    argv = ("run", "job.jsonl", "--max-total-tokens", "2500", "--json")
    first = priced(*argv)
    assert first.code == 75
    assert "2,500 tokens is used up" in first.summary["ended"]["reason"]
    assert 1500 < first.summary["usage"]["total_tokens"] <= 2500
    again = priced(*argv)
    assert (again.code, again.summary["usage"]["total_tokens"]) == (75, first.summary["usage"]["total_tokens"])
    assert priced("run", "job.jsonl", "--max-total-tokens", "90000").code == 0


@pytest.mark.parametrize(
    ("flags", "line", "said"),
    [
        (["--max-total-tokens", "100"], {"prompt": "x"}, "--max-total-tokens needs a limit on every answer"),
        (["--max-cost", "1"], {"prompt": "x"}, "--max-cost needs a limit on every answer"),
        (["--max-cost", "1"], {"prompt": "x", "max_tokens": 5, "model": "other"}, "--max-cost needs a price for other"),
        (["--max-cost", "1", "--escalate", "strong"], {"prompt": "x", "max_tokens": 5}, "--max-cost needs a price for strong"),
        (["--max-runtime", "soon"], {"prompt": "x"}, "max_runtime: 'soon' is no length of time"),
        (["--canary", "-1"], {"prompt": "x"}, "canary"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused_before_anything_is_sent(
    priced: Command, flags: list[str], line: dict[str, Any], said: str
) -> None:
    priced.write("job.jsonl", line)
    ended = priced("run", "job.jsonl", *flags)
    assert ended.code == 2
    assert said in ended.err
    assert not Path(priced.folder / "outputs/job/results.jsonl").exists()


def test_after_its_run_time_a_run_begins_nothing_new(priced: Command) -> None:
    (priced.folder / "job.toml").write_text(SIDECAR + "[simulator]\nlatency = { median_s = 0.3 }\n")
    ended = priced("run", "job.jsonl", "--max-runtime", "1.5s", "-c", "2", "--json")
    assert ended.code == 75
    assert "--max-runtime" in ended.summary["ended"]["reason"]
    counts = ended.summary["request_counts"]
    assert 0 < counts["pending"] < LINES
    assert counts["completed"] + counts["pending"] == LINES
    assert ended.summary["outcome_unknown"] == 0


def test_rejected_and_unseen_attempts_stand_apart_in_the_bill(priced: Command) -> None:
    (priced.folder / "schema.json").write_text(
        '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'
    )
    faults = "[simulator]\nseed = 1\nfaults = { invalid_json = 0.3, reset = 0.2 }\n"
    (priced.folder / "job.toml").write_text('schema = "schema.json"\n' + SIDECAR + faults)
    ended = priced("run", "job.jsonl", "--json")
    summary = ended.summary
    assert summary["outcome_unknown"] > 0
    notes = [one for one in records(priced.folder / "outputs/job/attempts.jsonl") if "record" not in one]
    unseen = sum(one["at_most"]["usd"] for one in notes if one["billed"] == "maybe")
    rejected = sum(one["cost_usd"] for one in notes if one["billed"] == "yes")
    assert summary["cost"]["unseen_at_most_usd"] == pytest.approx(unseen, abs=1e-5)
    assert summary["cost"]["rejected_usd"] >= rejected > 0
    assert re.search(
        r"cost +\$[\d.]+, \$[\d.]+ of it for answers that were rejected; up to \$[\d.]+ more for attempts", ended.err
    )
    each = [one["batchllm"] for one in records(priced.folder / "outputs/job/results.jsonl")]
    assert sum(one["cost_usd"] for one in each) <= summary["cost_usd"] + 1e-6
    again = priced("run", "job.jsonl", "--json").summary["cost"]
    assert again == pytest.approx(summary["cost"])


def test_of_a_model_without_a_price_tokens_are_told_and_that_the_cost_is_not_known(command: Command) -> None:
    from batchllm.simulator import SimulatorOptions, run_in_thread

    command.write("job.jsonl", {"prompt": "x"})
    with run_in_thread(SimulatorOptions()) as server:
        ended = command("run", "job.jsonl", "--base-url", server.base_url, "--model", "m", "--json", "--no-report")
    assert ended.code == 0
    assert ended.summary["cost_usd"] is None
    assert "cost      unknown: no price is known for this model" in ended.err


# -- estimates ---------------------------------------------------------------------------------------------------------


def test_check_and_a_dry_run_say_the_same_and_send_nothing(priced: Command) -> None:
    check, dry = priced("check", "job.jsonl", "--rpm", "10"), priced("run", "job.jsonl", "--rpm", "10", "--dry-run")
    assert check.code == dry.code == 0
    assert check.err == dry.err
    assert re.search(
        r"tokens +about [\d,]+ prompt \([\d,]+ to [\d,]+; approximate rates by script\), at most 16,000", check.err
    )
    assert "about 4 min at least, at 5 s an answer, which is assumed; --rpm decides" in check.err
    assert not (priced.folder / "outputs").exists()


def test_the_answers_in_the_folder_make_the_next_estimate_better(priced: Command) -> None:
    priced("run", "job.jsonl", "--limit", "25")
    found = priced("check", "job.jsonl", "--json").summary["estimate"]
    whole = priced("run", "job.jsonl", "--json").summary
    assert "measured on 25 answers" in found["method"]
    assert found["prompt_tokens"] == pytest.approx(whole["usage"]["prompt_tokens"], rel=0.02)
    typical = found["cost_usd"]["typical"]
    assert typical["low"] <= whole["cost_usd"] <= typical["high"]
