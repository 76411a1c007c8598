"""`batchllm status`: the last word on each id, read fast and told of any folder, whatever state it is in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.cli.status_command import status_lines
from batchllm.errors import ErrorCode
from batchllm.journal.envelope import id_and_facts
from batchllm.journal.last_words import LAST_ATTEMPTS, LastWords
from batchllm.journal.manifest import Manifest
from batchllm.journal.storage import Storage
from batchllm.records import Record, failure_line, usage_json
from batchllm.reports.status import status
from batchllm.strictjson import dumps
from batchllm.types import Json, Usage

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ACCEPTED = "00000001"


def record(custom_id: str, *, code: ErrorCode | None = None, settings: str = ACCEPTED, **more: Any) -> Record:
    facts: Json = {
        "line": 1,
        "digest": "d" * 32,
        "settings": settings,
        "usage": usage_json(Usage(8, 2, 10)),
        "cost_usd": 0.5,
        **more,
    }
    return Record(1, custom_id, "d" * 32, 200, "r", b'{"a":1}', code, "why" if code else "", facts=facts)


def fold(tmp_path: Path, results: list[Record], failures: list[Record] = [], tail: bytes = b"") -> LastWords:  # noqa: B006
    (tmp_path / "results.jsonl").write_bytes(b"".join(one.to_json() for one in results) + tail)
    (tmp_path / "attempts.jsonl").write_bytes(b"".join(failure_line(one) for one in failures))
    words = LastWords(frozenset({ACCEPTED}))
    words.read(tmp_path)
    return words


INNER = st.recursive(
    st.none() | st.integers(0, 9) | st.text('a"\\,:', max_size=4),
    lambda inner: st.dictionaries(st.sampled_from(["error", "batchllm", "custom_id", "x"]), inner, max_size=4),
    max_leaves=12,
)


@given(custom_id=st.text(min_size=1), parsed=INNER, reply=INNER)
def test_the_fast_reading_of_a_result_sees_what_parsing_it_sees(custom_id: str, parsed: Any, reply: Any) -> None:
    """Also where the reply and the answer hold the very words that our own facts begin with."""
    facts = {"line": 1, "digest": "d", "settings": "s", "parsed": parsed}
    line = Record(1, custom_id, "d", 200, "r", dumps(reply), facts=facts).to_json()
    assert id_and_facts(line[:-1]) == (custom_id, facts)


def test_a_last_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    words = fold(tmp_path, [record("a")], tail=record("b").to_json()[:-30])
    assert (words.answered, words.damaged) == (1, 0)


def test_a_damaged_line_in_the_middle_is_counted_and_passed_over(tmp_path: Path) -> None:
    words = fold(tmp_path, [record("a")], tail=b"rubbish\n[]\n" + record("b").to_json())
    assert (words.answered, words.damaged) == (2, 2)


def test_each_id_counts_once_by_its_last_word(tmp_path: Path) -> None:
    failures = [record("a", code=ErrorCode.TIMEOUT), record("b", code=ErrorCode.TIMEOUT), record("b", code=ErrorCode.REFUSAL)]
    words = fold(tmp_path, [record("a"), record("a")], failures)
    assert (words.answered, words.failed) == (1, 1)
    assert {code: group["count"] for code, group in words.failures().items()} == {"refusal": 1}
    assert words.totals.usage["total_tokens"] == 50  # five records, each of them billed


def test_answers_made_with_settings_that_do_not_count_are_told_apart(tmp_path: Path) -> None:
    words = fold(tmp_path, [record("a", settings="00000002"), record("b")])
    assert (words.answered, words.outdated) == (1, 1)


def test_only_the_last_attempts_are_kept(tmp_path: Path) -> None:
    words = fold(tmp_path, [], [record(f"doc-{number}", code=ErrorCode.TIMEOUT) for number in range(9)])
    assert [note["custom_id"] for note in words.attempts] == [f"doc-{number}" for number in range(9 - LAST_ATTEMPTS, 9)]


def manifest(folder: Path, requests: int) -> None:
    shaping = {"provider": "openai", "model": "m"}
    job = {"path": "job.jsonl", "requests": requests, "bad_lines": 1}
    Manifest(job, shaping, {}, (ACCEPTED,), "0", "2026-01-01T10:00:00+00:00").write(Storage(), folder)


def test_a_folder_without_a_summary_was_cut_off_and_says_how_to_go_on(tmp_path: Path) -> None:
    manifest(tmp_path, 4)
    fold(tmp_path, [record("a"), record("b")], [record("c", code=ErrorCode.TIMEOUT)])
    found = status(tmp_path, NOW)
    assert found["state"] == "cut off"
    assert found["request_counts"] == {"total": 5, "completed": 2, "failed": 2, "pending": 1, "invalid_lines": 1}
    assert "run the same command again" in status_lines(found, NOW)[-1]


def test_an_end_that_is_older_than_the_answers_is_told_to_be_stale(tmp_path: Path) -> None:
    manifest(tmp_path, 4)
    fold(tmp_path, [record("a"), record("b")])
    ended = {
        "exit_code": 75,
        "reason": "budget",
        "at": "2026-01-01T11:00:00+00:00",
        "resume_after": None,
        "command": "batchllm run x",
    }
    counts = {"completed": 1, "failed": 1, "pending": 3, "invalid_lines": 1}
    (tmp_path / "summary.json").write_bytes(dumps({"request_counts": counts, "ended": ended}))
    found = status(tmp_path, NOW)
    assert (found["state"], found["stale_summary"]) == ("ended", True)
    assert status_lines(found, NOW)[-1] == "  go on     batchllm run x"


@pytest.mark.parametrize("summary", [b"", b"[]", b'{"ended": 1}', b"\xff"])
def test_a_summary_that_cannot_be_read_counts_as_none(summary: bytes, tmp_path: Path) -> None:
    manifest(tmp_path, 1)
    (tmp_path / "summary.json").write_bytes(summary)
    assert status(tmp_path, NOW)["state"] == "cut off"


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    found = status(tmp_path, NOW)
    assert found["state"] == "empty"
    assert status_lines(found, NOW) == [f"{tmp_path}: no run has begun here: there is no job.json"]
