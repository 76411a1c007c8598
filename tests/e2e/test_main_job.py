"""The main job, as a user runs it: the real command in a process of its own against a real HTTP server."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, by_id, records

ROOT = Path(__file__).parents[2]


def lines(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"custom_id": f"doc-{number}", "prompt": f"Tell about {number}", **more} for number in range(1, count + 1)]


@pytest.fixture
def example(command: Command) -> Command:
    shutil.copytree(ROOT / "jobs", command.folder / "jobs")
    return command


def test_the_example_runs_without_a_key_a_network_or_an_endpoint(example: Command) -> None:
    ended = example("run", "jobs/extract.jsonl", "--json")
    assert ended.code == 0, ended.err
    counts = ended.summary["request_counts"]
    assert counts["completed"] == counts["total"] == len(records(example.folder / "jobs/extract.jsonl"))
    assert "SIMULATED" in ended.err
    assert ended.summary["simulated"] is True
    assert all(one["batchllm"]["simulated"] for one in records(example.folder / "outputs/extract/results.jsonl"))


def test_every_answer_of_the_example_is_a_valid_object(example: Command) -> None:
    import runpy

    example("run", "jobs/extract.jsonl")
    model = runpy.run_path(str(ROOT / "jobs/schemas.py"))["Extraction"]
    for one in records(example.folder / "outputs/extract/results.jsonl"):
        assert model.model_validate(one["batchllm"]["parsed"])


def test_the_same_command_again_sends_nothing(example: Command) -> None:
    example("run", "jobs/extract.jsonl")
    again = example("run", "jobs/extract.jsonl", "--json")
    assert again.code == 0
    assert again.summary["requests"] == 0
    assert again.summary["request_counts"]["completed"] == again.summary["this_run"]["skipped"]


def test_without_any_endpoint_the_run_is_refused_with_the_three_ways(command: Command) -> None:
    command.write("job.jsonl", *lines(1))
    ended = command("run", "job.jsonl")
    assert ended.code == 2
    for way in ("--provider", "--base-url", "OPENAI_API_KEY"):
        assert way in ended.err
    assert not (command.folder / "outputs").exists()


def test_both_line_forms_mix_and_metadata_is_carried(command: Command, simulator: str) -> None:
    command.write(
        "job.jsonl",
        {"custom_id": "batch", "method": "POST", "url": "/v1/chat/completions",
         "body": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}},
        {"custom_id": "short", "system": "be brief", "prompt": "hi", "metadata": {"row": 7}},
        {"messages": [{"role": "user", "content": "no id"}]},
    )  # fmt: skip
    ended = command("run", "job.jsonl", "--base-url", simulator, "--model", "m")
    assert ended.code in (0, 1)
    folder = command.folder / "outputs/job"
    found = {**by_id(folder / "results.jsonl"), **by_id(folder / "errors.jsonl")}
    assert set(found) == {"batch", "short", "line-3"}
    assert found["short"]["batchllm"]["metadata"] == {"row": 7}


def test_a_record_is_the_batch_apis_line_with_our_facts_under_one_key(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(1))
    command("run", "job.jsonl", "--base-url", simulator, "--model", "m")
    (record,) = records(command.folder / "outputs/job/results.jsonl")
    assert list(record) == ["id", "custom_id", "response", "error", "batchllm"]
    assert record["id"].startswith("batch_req_")
    assert record["error"] is None
    assert record["response"]["status_code"] == 200
    assert record["response"]["body"]["object"] == "chat.completion"
    facts = record["batchllm"]
    assert facts["line"] == 1
    assert len(facts["digest"]) == 32
    assert facts["attempts"] == 1
    assert facts["usage"]["total_tokens"] == record["response"]["body"]["usage"]["total_tokens"]


def test_bad_lines_become_records_and_good_ones_run(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(2), "{not json", {"custom_id": "doc-1", "prompt": "twice"}, {"prompt": 3}, [1])
    ended = command("run", "job.jsonl", "--base-url", simulator, "--model", "m")
    assert ended.code == 1
    folder = command.folder / "outputs/job"
    assert len(records(folder / "results.jsonl")) == 2
    errors = records(folder / "errors.jsonl")
    assert [one["batchllm"]["line"] for one in errors] == [3, 4, 5, 6]
    assert [one["error"]["code"] for one in errors] == ["invalid_line", "duplicate_custom_id", "invalid_line", "invalid_line"]
    assert "line 3" in ended.err
    assert "Traceback" not in ended.err


def test_strict_refuses_the_job_before_anything_is_sent(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(2), "{")
    ended = command("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--strict")
    assert ended.code == 65
    assert "line 3" in ended.err
    assert not (command.folder / "outputs/job").exists()


def test_a_changed_line_is_done_anew_and_its_old_record_left_out(command: Command, simulator: str) -> None:
    job = command.write("job.jsonl", *lines(3))
    args = ("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--json")
    command(*args)
    command.write("job.jsonl", *lines(2), {"custom_id": "doc-3", "prompt": "something else"})
    ended = command(*args)
    assert ended.summary["requests"] == 1
    results = records(job.parent / "outputs/job/results.jsonl")
    assert sorted(one["custom_id"] for one in results) == ["doc-1", "doc-2", "doc-3"]


def test_lines_added_are_done_and_lines_removed_are_kept_and_named(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(3))
    args = ("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--json")
    command(*args)
    command.write("job.jsonl", *lines(5)[1:])
    ended = command(*args)
    assert ended.summary["requests"] == 2
    assert ended.summary["removed_lines"] == 1
    assert len(records(command.folder / "outputs/job/results.jsonl")) == 5


def test_a_reordered_job_is_still_done(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(4))
    args = ("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--json")
    command(*args)
    command.write("job.jsonl", *reversed(lines(4)))
    assert command(*args).summary["requests"] == 0


def test_changed_settings_are_refused_with_their_name_and_the_three_ways(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(2))
    base = ("run", "job.jsonl", "--base-url", simulator, "--json")
    command(*base, "--model", "m")
    refused = command(*base, "--model", "n")
    assert refused.code == 65
    assert "model" in refused.err
    assert "--on-change" in refused.err
    kept = command(*base, "--model", "n", "--on-change", "keep")
    assert kept.summary["requests"] == 0
    rerun = command(*base, "--model", "o", "--on-change", "rerun")
    assert rerun.summary["requests"] == 2
    assert len(records(command.folder / "outputs/job/results.jsonl")) == 2


def test_fresh_moves_the_old_folder_aside(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(2))
    args = ("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--json")
    command(*args)
    assert command(*args, "--fresh").summary["requests"] == 2
    folders = list((command.folder / "outputs").iterdir())
    assert len(folders) == 2
    assert all(len(records(folder / "results.jsonl")) == 2 for folder in folders)


def test_limit_does_the_first_lines_only_and_then_the_rest(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(5))
    args = ("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--json")
    first = command(*args, "--limit", "2")
    assert (first.code, first.summary["requests"]) == (0, 2)
    assert command(*args).summary["requests"] == 3


def test_ordered_writes_every_line_in_the_jobs_order(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(30), "{", *({"custom_id": f"late-{n}", "prompt": "x"} for n in range(5)))
    command("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--ordered")
    ordered = records(command.folder / "outputs/job/results.ordered.jsonl")
    assert [one["batchllm"]["line"] for one in ordered] == list(range(1, 37))


def test_dry_run_and_check_send_nothing_and_count(command: Command) -> None:
    command.write("job.jsonl", *lines(3, max_tokens=10), "{")
    for args in (("run", "job.jsonl", "--dry-run"), ("check", "job.jsonl")):
        ended = command(*args, "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--json")
        assert ended.code == 1
        assert (ended.summary["requests"], ended.summary["bad_lines"]) == (3, 1)
        assert ended.summary["estimate"]["max_completion_tokens"] == 30
    assert not (command.folder / "outputs").exists()


def test_quiet_says_nothing_when_all_is_well(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(2))
    ended = command("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_the_key_is_taken_from_the_environment_and_written_nowhere(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(2))
    ended = command("run", "job.jsonl", "--base-url", simulator, "--model", "m", OPENAI_API_KEY="sk-canary-123456")
    assert ended.code == 0
    for path in (command.folder / "outputs").rglob("*"):
        assert not path.is_file() or b"sk-canary" not in path.read_bytes()
    assert "sk-canary" not in ended.out + ended.err


def test_output_files_are_private(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(1))
    command("run", "job.jsonl", "--base-url", simulator, "--model", "m")
    folder = command.folder / "outputs/job"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_job_json_says_what_was_run_and_never_the_key(example: Command) -> None:
    example("run", "jobs/extract.jsonl")
    manifest = json.loads((example.folder / "outputs/extract/job.json").read_text())
    assert manifest["job"]["requests"] == len(records(example.folder / "jobs/extract.jsonl"))
    assert len(manifest["job"]["sha256"]) == 64
    assert manifest["shaping"]["model"] == "simulated-1"
    assert manifest["simulated"] is True


def test_a_job_from_a_pipe_is_kept_first_and_goes_on_like_any_other_i10(command: Command, simulator: str) -> None:
    job = "".join(json.dumps(one) + "\n" for one in lines(3))
    args = ("run", "-", "-o", "out", "--base-url", simulator, "--model", "m", "--json")
    first = command(*args, stdin=job)
    assert (first.code, first.summary["requests"]) == (0, 3)
    assert command(*args, stdin=job).summary["requests"] == 0
    assert command("run", "-", "--base-url", simulator, stdin=job).code == 2


def test_a_terminal_that_takes_no_more_does_not_stop_a_run(command: Command, simulator: str) -> None:
    import os
    import subprocess
    import sys

    command.write("job.jsonl", *lines(200))
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 65536)
    os.set_blocking(write, True)
    running = subprocess.Popen(
        [sys.executable, "-m", "batchllm", "run", "job.jsonl", "--base-url", simulator, "--model", "m", "--quiet"],
        cwd=command.folder, env=command.environment, stderr=write, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert running.wait(timeout=60) == 0
    finally:
        running.kill()
        os.close(read)
        os.close(write)
    assert len(records(command.folder / "outputs/job/results.jsonl")) == 200


PRICES = "[prices.m]\ninput = 1000\noutput = 1000\n"


def test_a_budget_is_not_passed_and_the_same_command_with_more_goes_on(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *lines(60, max_tokens=20))
    (command.folder / "job.toml").write_text(PRICES)
    args = ("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--json")
    first = command(*args, "--max-cost", "0.9")
    assert first.code == 75
    assert 0 < first.summary["cost_usd"] <= 0.9
    assert first.summary["request_counts"]["pending"] > 0
    again = command(*args, "--max-cost", "0.9")
    assert (again.code, again.summary["cost_usd"]) == (75, first.summary["cost_usd"])
    rest = command(*args, "--max-cost", "100")
    assert rest.summary["request_counts"]["pending"] == 0


@pytest.mark.parametrize(
    ("line", "prices", "said"),
    [({}, PRICES, "--assume-max-tokens"), ({"max_tokens": 5}, "", "needs a price"), ({"max_tokens": 5}, PRICES, "")],
)
def test_a_budget_that_cannot_be_kept_is_refused_before_anything_is_sent(
    command: Command, simulator: str, line: dict[str, Any], prices: str, said: str
) -> None:
    command.write("job.jsonl", *lines(2, **line))
    (command.folder / "job.toml").write_text(prices)
    ended = command("run", "job.jsonl", "--base-url", simulator, "--model", "m", "--max-cost", "1")
    assert (ended.code == 2) == bool(said)
    assert said in ended.err
