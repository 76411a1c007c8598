"""What the page says of a folder: each line once, failures by what they have in common, waste apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchllm.errors import ErrorCode, JobError
from batchllm.reports import html
from batchllm.reports.html.changes import changes
from batchllm.reports.html.fold import picture
from batchllm.reports.html.prompts import add_prompts, prompt_of
from batchllm.reports.html.reservoir import Reservoir
from batchllm.strictjson import dumps
from batchllm.types import Json
from tests.unit.report.folders import answer, failure, folder, note
from tests.unit.report.parsing import Parsed


def report(folder: Path) -> bytes:
    return b"".join(html.report(folder))


def test_a_line_answered_twice_is_shown_once_with_its_last_answer(tmp_path: Path) -> None:
    seen = picture(folder(tmp_path, answer("a", "old"), answer("a", "new")))
    assert [row.answer for row in seen.rows] == ["new"]
    assert seen.counts == {"total": 1, "answered": 1, "failed": 0, "pending": 0}


def test_a_failure_that_was_answered_later_is_no_failure(tmp_path: Path) -> None:
    seen = picture(folder(tmp_path, failure("a", "no"), answer("a")))
    assert (seen.counts["failed"], seen.fold.groups, [row.code for row in seen.rows]) == (0, {}, [None])


def test_messages_that_differ_in_numbers_only_are_one_group(tmp_path: Path) -> None:
    records = [failure(f"f{n}", f"at {n}: request 0a1b2c3d4e{n} failed", line=n) for n in range(1, 8)]
    groups = picture(folder(tmp_path, *records, failure("x", "other", line=9))).fold.groups.values()
    [group] = [one for one in groups if one.count > 1]
    assert (group.count, len(group.examples)) == (7, 3)


def test_of_endless_messages_the_page_keeps_some_groups_and_counts_the_rest(tmp_path: Path) -> None:
    records = [failure(f"f{n}", "word " + "abcdefghij"[n % 10] * (1 + n // 10), line=n + 1) for n in range(90)]
    groups = picture(folder(tmp_path, *records)).fold.groups.values()
    assert (len(groups), sum(one.count for one in groups)) == (41, 90)


def test_rejected_answers_that_were_billed_are_counted_apart(tmp_path: Path) -> None:
    billed = note("schema_invalid", "paid", billed="yes", usage={"prompt_tokens": 7, "completion_tokens": 3}, cost_usd=0.25)
    seen = picture(
        folder(tmp_path, answer("a"), failure("b", "no", line=2), notes=(billed, note("timeout", "maybe_paid", billed="maybe")))
    )
    rejected = seen.fold.rejected
    assert (rejected.attempts, rejected.tokens, round(rejected.cost_usd, 3)) == (2, 130, 0.251)
    assert seen.words.totals.maybe_billed == 1
    assert seen.fold.retries == {("schema_invalid", "paid"): 1, ("timeout", "maybe_paid"): 1}


def test_fields_are_counted_by_the_lines_that_failed_in_them(tmp_path: Path) -> None:
    problems = [{"path": "items.0.price"}, {"path": "items.3.price"}, {"path": "kind"}]
    assert picture(folder(tmp_path, failure("a", "no", problems=problems))).fold.fields == {"items.*.price": 1, "kind": 1}


def test_a_cut_off_run_has_a_page_too(tmp_path: Path) -> None:
    made = folder(tmp_path, answer("a"), job={"requests": 3})
    (made / "summary.json").unlink()
    with (made / "results.jsonl").open("ab") as file:
        file.write(answer("b", line=2).to_json()[:50])
    text = Parsed(report(made)).text
    assert "Not finished: cut off, or still at work" in text
    assert "2 pending" in text


@pytest.mark.parametrize("summary", [b"[]", b"{", b'{"ended": 1}', b'{"ended": {}, "series": [{"t": [1]}, 3], "this_run": 4}'])
def test_a_summary_that_cannot_be_read_is_done_without(tmp_path: Path, summary: bytes) -> None:
    made = folder(tmp_path, answer("a"))
    (made / "summary.json").write_bytes(summary)
    assert "Every line is answered" in Parsed(report(made)).text


def test_bad_lines_of_the_job_stand_among_the_failed_ones(tmp_path: Path) -> None:
    made = folder(tmp_path, answer("a"), job={"bad_lines": 1})
    bad = failure("line-2", "not valid JSON", code=ErrorCode.INVALID_LINE, line=2)
    (made / "errors.jsonl").write_bytes(bad.to_json())
    text = Parsed(report(made)).text
    assert "1 failed" in text
    assert "not valid JSON" in text


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no run was made") as refused:
        report(tmp_path)
    assert refused.value.exit_code == 65


def test_prompts_come_from_the_job_file_while_it_is_the_one_that_was_run(tmp_path: Path) -> None:
    job = tmp_path / "job.jsonl"
    job.write_bytes(b'{"custom_id": "a", "prompt": "what?"}\n')
    made = folder(tmp_path / "out", answer("a"), job={"path": str(job), "bytes": job.stat().st_size})
    assert "what?" in Parsed(report(made)).text
    job.write_bytes(b'{"custom_id": "a", "prompt": "something else"}\n')
    assert "prompts are not shown" in Parsed(report(made)).text


def test_a_prompt_of_another_line_is_never_shown(tmp_path: Path) -> None:
    job = tmp_path / "job.jsonl"
    job.write_bytes(b'{"custom_id": "b", "prompt": "what?"}\n')
    seen = picture(folder(tmp_path / "out", answer("a"), job={"path": str(job), "bytes": job.stat().st_size}))
    assert add_prompts(seen.rows, seen.manifest.job)
    assert seen.rows[0].prompt == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"prompt": "p"}, "p"),
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}, "u"),
        (
            {"body": {"messages": [{"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url"}]}]}},
            "t\n[image_url]",
        ),
        ({"url": "/v1/embeddings", "body": {"input": ["x", "y"]}}, "x\ny"),
        ({"turns": ["one", "two"]}, "one\ntwo"),
        ({"messages": 3}, ""),
        ({}, ""),
    ],
)
def test_a_prompt_is_what_the_line_asks(line: Json, said: str) -> None:
    assert prompt_of(line) == said


def test_a_large_run_is_sampled_fairly_and_the_same_way_each_time() -> None:
    first, again = Reservoir[int](100), Reservoir[int](100)
    for number in range(10_000):
        first.offer(number, lambda number=number: number)  # type: ignore[misc]
        again.offer(number, lambda number=number: number)  # type: ignore[misc]
    chosen = first.values()
    assert chosen == again.values()
    assert len(set(chosen)) == 100
    assert 4000 < sum(chosen) / 100 < 6000


def test_every_value_of_a_stream_has_the_same_odds() -> None:
    met = [0] * 20
    for seed in range(2000):
        reservoir = Reservoir[int](5, seed)
        for number in range(20):
            reservoir.offer(number, lambda number=number: number)  # type: ignore[misc]
        for number in reservoir.values():
            met[number] += 1
    assert all(400 < count < 600 for count in met)  # 500 of 2,000 each; five standard deviations are 97


def test_the_page_keeps_within_its_size_whatever_the_answers(tmp_path: Path) -> None:
    records = [answer(f"a{n}", "<&>" * 3000, line=n + 1) for n in range(1700)]
    made = report(folder(tmp_path, *records))
    assert len(made) < 5_000_000
    assert "1,500 of 1,700 lines, chosen by chance" in made.decode()


def test_changes_are_told_by_custom_id_and_by_the_last_record(tmp_path: Path) -> None:
    before = folder(
        tmp_path / "a", answer("same", "x"), answer("twice", "old", line=2), answer("twice", "y", line=2), answer("gone", line=3),
        answer("changed", "1", line=4), answer("anew", "q", line=5),
    )  # fmt: skip
    after = folder(
        tmp_path / "b", answer("twice", "z", line=2), answer("twice", "y", line=2), answer("same", "x"), answer("new", line=9),
        answer("new", line=9), answer("changed", "2", line=4), answer("anew", "q", line=6),
    )  # fmt: skip
    found = changes(before, after)
    assert (found.same, found.changed, found.only_before, found.only_after, found.other_request) == (3, 1, 1, 1, 1)
    assert [(pair.before.answer, pair.after.answer) for pair in found.pairs] == [("1", "2")]


def test_objects_are_the_same_whatever_the_order_of_their_keys(tmp_path: Path) -> None:
    before = folder(tmp_path / "a", answer("a", '{"x":1,"y":2}', parsed={"x": 1, "y": 2}))
    after = folder(tmp_path / "b", answer("a", '{"y":2,"x":1}', parsed={"y": 2, "x": 1}))
    assert changes(before, after).same == 1


def test_facts_are_read_in_full_where_an_answer_looks_like_them(tmp_path: Path) -> None:
    tricky = {"error": None, "batchllm": {"digest": "f" * 32, "settings": "no", "parsed": 1}, "parsed": {"parsed": 2}}
    made = folder(
        tmp_path, answer("a", parsed=tricky, metadata={"parsed": 3}), answer("b", metadata={"parsed": {}}, parsed=1, line=2)
    )
    seen = picture(made)
    assert (seen.counts["answered"], seen.words.damaged, seen.words.outdated) == (2, 0, 0)
    assert re.sub(r"\s", "", seen.rows[0].answer) == dumps(tricky).decode()
