"""Lines that ask the same: one request, a record for each, whatever happens in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchllm.errors import ExitCode
from batchllm.simulator import Faults
from tests.conftest import Command
from tests.e2e.commands import Commands
from tests.e2e.simulated import Outcome, perform

LINES = [{"custom_id": f"doc-{n}", "prompt": f"Tell about {n % 3}", "temperature": 0, "metadata": {"n": n}} for n in range(12)]


def resumable(tmp_path: Path, lines: list[dict[str, Any]], options: dict[str, Any] | None = None, **settings: Any) -> Outcome:
    """`perform` at an endpoint that has the same name at whatever port, so that runs go on where others stopped."""
    return perform(tmp_path, lines, provider="simulator", options={"api_key": None, **(options or {})}, **settings)


def _originals(outcome: Outcome) -> dict[str, str]:
    """Of each answered line the one that was sent for it."""
    return {one["custom_id"]: one["batchllm"].get("duplicate_of", one["custom_id"]) for one in outcome.results}


def _texts(outcome: Outcome) -> dict[str, set[str]]:
    """The answers to each prompt."""
    prompts = {line["custom_id"]: line["prompt"] for line in json_lines(outcome.folder.parent / "job.jsonl")}
    found: dict[str, set[str]] = {}
    for one in outcome.results:
        text = one["response"]["body"]["choices"][0]["message"]["content"]
        found.setdefault(prompts[one["custom_id"]], set()).add(text)
    return found


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_equal_lines_are_sent_once_and_each_has_its_record(tmp_path: Path) -> None:
    outcome = perform(tmp_path, LINES)
    assert (outcome.exit_code, outcome.counts) == (0, (12, 0, 0))
    assert len(outcome.ledger) == outcome.summary["requests"] == 3
    assert outcome.summary["duplicates"] == 9
    assert all(len(texts) == 1 for texts in _texts(outcome).values())
    assert len(set(_originals(outcome).values())) == 3
    assert {one["custom_id"]: one["batchllm"]["metadata"]["n"] for one in outcome.results} == {f"doc-{n}": n for n in range(12)}


def test_tokens_are_counted_once(tmp_path: Path) -> None:
    alone = perform(tmp_path / "alone", LINES[:3]) if (tmp_path / "alone").mkdir() is None else None
    outcome = perform(tmp_path, LINES)
    assert alone is not None
    assert outcome.summary["usage"] == alone.summary["usage"]


@pytest.mark.parametrize(
    ("temperature", "dedupe", "requests"), [(0, None, 3), (0.7, None, 12), (0.7, True, 3), (0, False, 12), (0, True, 3)]
)
def test_what_counts_as_the_same_is_the_users_word(
    tmp_path: Path, temperature: float, dedupe: bool | None, requests: int
) -> None:
    outcome = perform(tmp_path, [{**line, "temperature": temperature} for line in LINES], dedupe=dedupe)
    assert len(outcome.ledger) == requests
    assert outcome.counts == (12, 0, 0)


def test_the_settings_temperature_counts_as_the_lines_own(tmp_path: Path) -> None:
    lines = [{name: value for name, value in line.items() if name != "temperature"} for line in LINES]
    assert len(perform(tmp_path, lines, body={"temperature": 0}).ledger) == 3


def test_lines_that_differ_in_anything_that_is_sent_are_not_equal(tmp_path: Path) -> None:
    lines = [{**LINES[0], "custom_id": str(n), **more} for n, more in enumerate(({}, {"seed": 1}, {"max_tokens": 9}, {"n": 2}))]
    assert len(perform(tmp_path, lines).ledger) == 4


def test_a_failure_for_good_is_the_failure_of_all_equal_lines(tmp_path: Path) -> None:
    outcome = perform(tmp_path, LINES[:6], options={"context_tokens": 1})
    assert (outcome.exit_code, outcome.counts) == (1, (0, 6, 0))
    assert outcome.summary["requests"] == 3
    assert {one["error"]["code"] for one in outcome.errors} == {"too_large"}
    assert sorted("duplicate_of" in one["batchllm"] for one in outcome.errors) == [False] * 3 + [True] * 3


def test_a_failure_that_may_pass_is_asked_again_once_for_all_by_the_next_run(tmp_path: Path) -> None:
    retries = {"max_attempts": 2, "base": 0.01}
    first = resumable(tmp_path, LINES, options={"faults": Faults(server_error=1.0)}, retries=retries)
    assert first.counts == (0, 12, 0)
    assert first.summary["requests"] == 6, "the attempts of three lines, not of twelve"
    second = resumable(tmp_path, LINES, retries=retries)
    assert (second.counts, second.summary["requests"], second.summary["duplicates"]) == ((12, 0, 0), 3, 9)


def test_a_line_added_later_is_answered_from_the_journal(tmp_path: Path) -> None:
    resumable(tmp_path, LINES[:3])
    outcome = resumable(tmp_path, [LINES[5], *LINES[:3], LINES[7]])
    assert (outcome.counts, outcome.summary["requests"]) == ((5, 0, 0), 0)
    assert len(outcome.ledger) == 3


def test_an_answer_under_other_settings_serves_nobody(tmp_path: Path) -> None:
    perform(tmp_path, LINES[:3], body={"max_tokens": 40})
    outcome = perform(tmp_path, LINES, body={"max_tokens": 50}, on_change="keep")
    assert outcome.counts == (12, 0, 0)
    assert outcome.summary["requests"] == 3, "the kept answers stay; the new lines are asked with the new settings"


def test_a_run_that_is_stopped_by_its_budget_still_answers_what_it_has(tmp_path: Path) -> None:
    rows = {"simulated-1": {"input": 0.0, "output": 1_000_000.0}}
    outcome = resumable(tmp_path, LINES, max_cost=25.0, assume_max_tokens=20, prices=rows, concurrency=1)
    assert outcome.exit_code == ExitCode.TRY_LATER
    answered = {LINES[int(one["custom_id"][4:])]["prompt"] for one in outcome.results}
    assert 1 <= len(answered) < 3
    assert outcome.counts == (4 * len(answered), 0, 12 - 4 * len(answered))
    again = resumable(tmp_path, LINES, prices=rows)
    assert again.counts == (12, 0, 0)
    assert len(again.ledger) == 3


def test_packed_embeddings_have_duplicates_too(tmp_path: Path) -> None:
    lines = [{"custom_id": str(n), "url": "/v1/embeddings", "input": f"text {n % 4}"} for n in range(16)]
    outcome = perform(tmp_path, lines, pack=3, dedupe=True)
    assert outcome.counts == (16, 0, 0)
    assert outcome.summary["requests"] == 2
    assert outcome.summary["duplicates"] == 12


def test_verify_status_export_and_report_know_the_mark(tmp_path: Path, monkeypatch, capsys) -> None:
    job = tmp_path / "job.jsonl"
    job.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    commands = Commands(tmp_path, None, monkeypatch, capsys)
    run = commands("run", "job.jsonl", "--provider", "simulator", "--model", "simulated-1")
    assert run.code == 0, run.err
    assert "saved     9 requests" in run.err
    assert commands("verify", "job.jsonl", "out").code == 0
    assert json.loads(commands("status", "out", "--json").out)["duplicates"] == 9
    table = commands("export", "out", "--format", "csv", "-o", "-").out.splitlines()
    assert table[0].endswith("duplicate_of")
    assert sum(row.endswith(("doc-0", "doc-1", "doc-2")) for row in table[1:]) == 9
    assert "9 without a request: equal to others" in (tmp_path / "out" / "report.html").read_text()


def test_verify_tells_of_a_duplicate_whose_original_asks_something_else(tmp_path: Path, monkeypatch, capsys) -> None:
    outcome = perform(tmp_path, LINES)
    path = outcome.folder / "results.jsonl"
    names = _originals(outcome)
    wrong = next(name for name in names.values() if name != names["doc-11"])
    path.write_text("".join(
        line.replace(f'"duplicate_of":"{names["doc-11"]}"', f'"duplicate_of":"{wrong}"') if '"custom_id":"doc-11"' in line else line
        for line in path.read_text().splitlines(keepends=True)
    ))  # fmt: skip
    ended = Commands(tmp_path, None, monkeypatch, capsys)("verify", "job.jsonl", "out")
    assert ended.code != 0
    assert "asks something else" in ended.out + ended.err


def test_what_is_not_going_to_be_asked_is_told_before_anything_is_sent(command: Command) -> None:
    command.write("job.jsonl", *LINES)
    first, again = (command("run", "job.jsonl", "--provider", "simulator", "--model", "m") for _ in range(2))
    assert "9 lines ask the same as another at temperature 0 and get its answer (--no-dedupe asks for each)" in first.err
    assert "ask the same as another at" not in again.err
