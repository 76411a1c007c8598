"""`batchllm diff`: what changed since the last run, told without sending or writing anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchllm.errors import ErrorCode
from batchllm.records import Record, failure_line
from batchllm.strictjson import loads
from tests.e2e.commands import Commands, Ended


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, simulator: str) -> Commands:
    made = Commands(tmp_path, simulator, monkeypatch, capsys)
    write(made, lines(10))
    return made


def lines(count: int) -> list[dict[str, Any]]:
    return [{"custom_id": f"doc-{number}", "prompt": f"Tell about {number}"} for number in range(1, count + 1)]


def write(commands: Commands, job: list[dict[str, Any]]) -> None:
    (commands.folder / "job.jsonl").write_text("".join(json.dumps(line) + "\n" for line in job))


def diff(commands: Commands, *flags: str) -> tuple[int, dict[str, Any]]:
    before = files(commands)
    ended = commands("diff", "job.jsonl", "out", "--json", *flags)
    assert files(commands) == before
    return ended.code, loads(ended.out)


def files(commands: Commands) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in commands.folder.rglob("*") if path.is_file() and path.name != ".lock"}


def counts(found: dict[str, Any]) -> dict[str, int]:
    names = ("new", "changed", "pending", "new_or_pending", "retryable", "outdated", "failed", "removed", "to_ask")
    return {name: found[name] for name in names if found[name]}


def ran(commands: Commands, *flags: str) -> Ended:
    ended = commands("run", "job.jsonl", "--quiet", *flags)
    assert ended.code in (0, 75), ended.err
    return ended


def test_a_finished_job_that_did_not_change_is_nothing_to_do(commands: Commands) -> None:
    ran(commands)
    code, found = diff(commands)
    assert (code, counts(found), found["answered"], found["to_do"]) == (0, {}, 10, False)
    told = commands("diff", "job.jsonl", "out")
    assert told.out.splitlines()[-1] == "  nothing to do; nothing was sent"


def test_an_incremental_night_asks_what_is_new_or_changed_and_keeps_what_is_gone(commands: Commands) -> None:
    ran(commands)
    job = lines(13)
    job[2]["prompt"] = "Tell something else"
    del job[5]
    write(commands, job)
    code, found = diff(commands)
    assert (code, counts(found)) == (1, {"new": 3, "changed": 1, "removed": 1, "to_ask": 4})
    assert found["removed_examples"] == ["doc-6"]
    assert found["examples"]["changed"] == [{"line": 3, "custom_id": "doc-3"}]
    told = commands("diff", "job.jsonl", "out").out
    assert "line 3 'doc-3'" in told
    assert "4 lines would be asked" in told
    before = len(ran(commands).lines("results.jsonl"))
    assert before == 10 + 3  # the changed line's old answer was left out, the removed line's is kept
    assert diff(commands)[0] == 0


def test_what_was_left_pending_and_what_was_added_behind_it_are_told_apart(commands: Commands) -> None:
    ran(commands, "--limit", "4")
    assert counts(diff(commands, "--limit", "4")[1]) == {}
    code, found = diff(commands)
    assert (code, counts(found)) == (1, {"pending": 6, "to_ask": 6})
    write(commands, lines(12))
    assert counts(diff(commands)[1]) == {"new": 2, "pending": 6, "to_ask": 8}


def test_a_job_changed_in_its_midst_while_lines_were_pending_is_told_as_such(commands: Commands) -> None:
    write(commands, lines(8))
    ran(commands)
    summary = json.loads((commands.folder / "out/summary.json").read_bytes())
    summary["request_counts"]["pending"] = 2
    (commands.folder / "out/summary.json").write_text(json.dumps(summary))
    write(commands, [{"custom_id": "first", "prompt": "new in front"}, *lines(8)])
    assert counts(diff(commands)[1]) == {"new_or_pending": 1, "to_ask": 1}


def test_changed_settings_are_named_and_are_something_to_do(commands: Commands) -> None:
    ran(commands)
    code, found = diff(commands, "--model", "another")
    assert code == 1
    assert found["changed_settings"] == ['model ("test-model" → "another")']
    assert "--on-change" in commands("diff", "job.jsonl", "out", "--model", "another").out


def test_failed_lines_are_left_unless_asked_for_and_passing_ones_are_done_again(commands: Commands) -> None:
    ran(commands)
    folder = commands.folder / "out"
    kept = [loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]
    gone = {one["custom_id"]: one["batchllm"] for one in kept if one["custom_id"] in ("doc-1", "doc-2", "doc-3")}
    left = [one for one in kept if one["custom_id"] not in gone]
    (folder / "results.jsonl").write_bytes(b"".join(json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in left))
    notes = b""
    for custom_id, retryable, settings in (("doc-1", False, None), ("doc-2", True, None), ("doc-3", False, "00000000")):
        facts = gone[custom_id] | {"retryable": retryable} | ({"settings": settings} if settings else {})
        notes += failure_line(
            Record(facts["line"], custom_id, facts["digest"], 200, code=ErrorCode.REFUSAL, message="no", facts=facts)
        )
    (folder / "attempts.jsonl").write_bytes(notes)
    code, found = diff(commands)
    assert (code, counts(found)) == (1, {"failed": 1, "retryable": 1, "outdated": 1, "to_ask": 2})
    assert counts(diff(commands, "--retry-failed")[1])["to_ask"] == 3


def test_lines_that_cannot_be_sent_are_counted_and_are_nothing_to_do(commands: Commands) -> None:
    ran(commands)
    with (commands.folder / "job.jsonl").open("a") as job:
        job.write("not json\n")
    code, found = diff(commands)
    assert (code, found["bad_lines"], found["to_ask"]) == (0, 1, 0)


def test_without_an_endpoint_the_lines_are_compared_all_the_same(commands: Commands) -> None:
    ran(commands)
    write(commands, lines(11))
    bare = Commands(commands.folder, None, commands.monkeypatch, commands.capsys)
    ended = bare("diff", "job.jsonl", "out", "--json", "--model", "test-model")
    found = loads(ended.out)
    assert (ended.code, found["new"]) == (1, 1)
    assert "no endpoint is chosen" in found["settings_not_compared"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("job.jsonl", "nowhere"), 65),
        (("job.jsonl", "."), 65),
        (("gone.jsonl", "out"), 65),
        (("job.jsonl", "out", "--provider", "x"), 0),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(commands: Commands, words: tuple[str, ...], code: int) -> None:
    ran(commands)
    ended = commands("diff", *words)
    assert ended.code == code
    assert ended.err.count("\n") == (1 if code else 0)
