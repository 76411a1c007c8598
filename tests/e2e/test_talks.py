"""Conversations as lines of a job: every turn kept, none asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.testing import Fault, FaultyStorage, QuickDisk, chat_reply, error_reply
from batchllm.types import Json, Reply
from tests.conftest import Command
from tests.e2e.beyond import Bench, at_endpoint

TURNS = 4


def talk(number: int, turns: int = TURNS, **more: Any) -> Json:
    return {
        "custom_id": f"talk-{number}",
        "system": "be brief",
        "turns": [f"{number}.{turn}" for turn in range(1, turns + 1)],
        **more,
    }


def echo(text: str, nth: int, body: Json) -> Reply:
    return chat_reply(f"<think>hm {text}</think>answer {text}")


def test_the_turns_are_asked_one_after_the_other_each_answer_joining_without_its_reasoning(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [talk(1, 3)], echo)
    assert bench.run() == 0
    assert [[one["content"] for one in body["messages"]] for body in bench.sent] == [
        ["be brief", "1.1"],
        ["be brief", "1.1", "answer 1.1", "1.2"],
        ["be brief", "1.1", "answer 1.1", "1.2", "answer 1.2", "1.3"],
    ]


def test_the_record_holds_every_turn_and_the_last_reply_as_its_response(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [talk(1, 3, metadata={"row": 1})], echo)
    bench.run()
    record = bench.records["talk-1"]
    facts = record["batchllm"]
    assert [one["text"] for one in facts["turns"]] == ["answer 1.1", "answer 1.2", "answer 1.3"]
    assert [one["reasoning"] for one in facts["turns"]] == ["hm 1.1", "hm 1.2", "hm 1.3"]
    assert facts["turns"][-1]["reply"] == record["response"]["body"]
    assert all(one["usage"]["total_tokens"] == 15 for one in facts["turns"])
    assert facts["usage"]["total_tokens"] == 45
    assert (facts["attempts"], facts["metadata"]) == (3, {"row": 1})
    assert bench.summary["usage"]["total_tokens"] == 45
    assert bench.summary["rejected_usage"]["total_tokens"] is None
    assert bench.summary["retries"] == {}
    assert bench.summary["requests"] == 3


def test_thousands_run_side_by_side_and_the_total_is_what_was_billed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [talk(number, 3) for number in range(1000)], echo, {"concurrency": 64})
    assert bench.run() == 0
    assert len(bench.ledger) == 3000
    assert bench.summary["usage"]["total_tokens"] == 3000 * 15
    assert bench.run() == 0
    assert len(bench.ledger) == 3000
    assert bench.summary["usage"]["total_tokens"] == 3000 * 15


def finished(bench: Bench) -> set[str]:
    """The turns whose answers are on the disk."""
    custom = {one["custom_id"]: one["batchllm"].get("turns", "1") for one in bench.read("results.jsonl")}
    whole = {f"{name.split('-')[1]}.{turn + 1}" for name, turns in custom.items() for turn in range(len(turns))}
    return whole | {f"{note['custom_id'].split('-')[1]}.{note['turn']}" for note in bench.notes if "turn" in note}


def begin(folder: Path) -> Bench:
    folder.mkdir()
    return Bench(
        folder, [talk(1), talk(2), {"custom_id": "plain-3", "prompt": "3.1"}], echo, {"durability": "each", "concurrency": 2}
    )


def test_after_a_kill_at_any_instruction_no_finished_turn_is_asked_again(tmp_path: Path) -> None:
    first = begin(tmp_path / "whole")
    storage = FaultyStorage(inner=QuickDisk())
    assert first.run(storage) == 0
    resumed = 0
    for at in range(1, len(storage.trace) + 1):
        bench = begin(tmp_path / str(at))
        bench.run(FaultyStorage(Fault(at), QuickDisk()))
        kept, before = finished(bench), len(bench.ledger)
        assert bench.run() == 0, at
        again = bench.ledger.answers(before).keys() & kept
        assert not again, (at, again)
        resumed += bool(kept) and before < 9
        assert bench.records["talk-1"]["batchllm"]["turns"] == first.records["talk-1"]["batchllm"]["turns"], at
        assert len(bench.ledger) <= 9 + 2, at
    assert resumed > 5


def test_what_earlier_runs_were_billed_for_turns_is_counted_once(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, [talk(1)], lambda text, nth, body: error_reply(401) if text == "1.3" and not nth else echo(text, nth, body)
    )
    assert bench.run() == 77
    assert bench.summary["usage"]["total_tokens"] == 30
    assert bench.run() == 0
    assert bench.summary["usage"]["total_tokens"] == 60
    assert bench.records["talk-1"]["batchllm"]["usage"]["total_tokens"] == 60
    assert len(bench.ledger) == 5
    assert bench.run() == 0
    assert bench.summary["usage"]["total_tokens"] == 60


def test_a_changed_line_is_talked_through_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [talk(1)], lambda text, nth, body: error_reply(401) if text == "1.3" else echo(text, nth, body))
    bench.run()
    bench.lines = [{**talk(1), "system": "be long"}]
    bench.run()
    assert [one.text for one in bench.ledger.entries] == ["1.1", "1.2", "1.3", "1.1", "1.2", "1.3"]


def test_a_turn_that_fails_for_good_fails_the_line_and_says_which(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, [talk(1), talk(2)], lambda text, nth, body: error_reply(400, "no") if text == "1.2" else echo(text, nth, body)
    )
    assert bench.run() == 1
    record = bench.records["talk-1"]
    assert record["error"]["message"].startswith("turn 2 of 4: ")
    assert [one["text"] for one in record["batchllm"]["turns"]] == ["answer 1.1"]
    assert bench.records["talk-2"]["error"] is None


def test_retry_failed_goes_on_at_the_turn_that_failed(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, [talk(1)], lambda text, nth, body: error_reply(400) if text == "1.2" and not nth else echo(text, nth, body)
    )
    assert bench.run() == 1
    assert bench.run(retry_failed=True) == 0
    assert [one.text for one in bench.ledger.entries] == ["1.1", "1.2", "1.2", "1.3", "1.4"]


def test_a_turn_is_tried_again_like_a_prompt_and_then_goes_on(tmp_path: Path) -> None:
    def moody(text: str, nth: int, body: Json) -> Reply:
        return error_reply(503, retry_after="1") if text.endswith(".2") and not nth else echo(text, nth, body)

    bench = Bench(tmp_path, [talk(number) for number in range(5)], moody)
    assert bench.run() == 0
    assert bench.summary["usage"]["total_tokens"] == 5 * TURNS * 15


def test_a_history_of_the_line_or_of_the_settings_bounds_what_goes_along(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [talk(1), talk(2, history={"last": 4})], echo, {"history": {"last": 2}, "concurrency": 1})
    assert bench.run() == 0
    sizes = [len(body["messages"]) for body in bench.sent]
    assert sizes == [2, 4, 4, 4, 2, 4, 6, 6]


def test_what_falls_out_is_summarised_and_the_summary_is_counted_and_kept(tmp_path: Path) -> None:
    def script(text: str, nth: int, body: Json) -> Reply:
        return chat_reply("SHORT") if body["messages"][0]["content"].startswith("Summarise") else echo(text, nth, body)

    bench = Bench(tmp_path, [talk(1)], script, {"history": {"summarise": {"last": 2}}})
    assert bench.run() == 0
    facts = bench.records["talk-1"]["batchllm"]
    assert [one["text"] for one in facts["summaries"]] == ["SHORT", "SHORT"]
    assert len(facts["turns"]) == TURNS
    assert facts["usage"]["total_tokens"] == bench.summary["usage"]["total_tokens"] == 6 * 15
    assert "SHORT" in bench.sent[-1]["messages"][0]["content"]


def test_only_the_last_turn_is_held_to_the_schema(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps({"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]})
    )

    def script(text: str, nth: int, body: Json) -> Reply:
        return (
            chat_reply('{"x": 1}' if nth else '{"x": "no"}')
            if text.endswith(".4") or "does not fit" in text
            else echo(text, nth, body)
        )

    bench = Bench(tmp_path, [talk(1)], script, {"schema": str(tmp_path / "a.json"), "structured": "json_schema", "reask": 2})
    bench.run()
    assert ["response_format" in body for body in bench.sent[:4]] == [False, False, False, True]
    facts = bench.records["talk-1"]["batchllm"]
    assert facts["parsed"] == {"x": 1}
    assert facts["usage"]["total_tokens"] == bench.summary["usage"]["total_tokens"]


@pytest.mark.parametrize(
    ("line", "says"),
    [({"turns": []}, "'turns' must be"), ({"turns": ["a", 3]}, "'turns' must be"), ({"turns": "abc"}, "'turns' must be"),
     ({"turns": ["a"], "prompt": "b"}, "keep one"), ({"turns": ["a"], "history": {"last": 0}}, "'history' must be"),
     ({"turns": ["a"], "url": "/v1/embeddings"}, "chat/completions only"), ({"turns": ["a"], "system": 3}, "'system'")],
)  # fmt: skip
def test_a_conversation_that_cannot_be_is_a_bad_line(line: Json, says: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, [line, talk(1)], echo)
    assert bench.run() == 1
    assert says in bench.records["line-1"]["error"]["message"]


def test_a_drained_run_keeps_its_turns_and_the_next_one_goes_on(tmp_path: Path) -> None:
    def script(text: str, nth: int, body: Json) -> Reply:
        if len(bench.ledger) == 7:
            assert bench.running is not None
            bench.running.stop(JobError(ExitCode.SIGTERM, "stopped"))
        return echo(text, nth, body)

    bench = Bench(tmp_path, [talk(number) for number in range(6)], script)
    assert bench.run() == 143
    assert bench.summary["request_counts"]["pending"] > 0
    assert len(bench.notes) > 2
    assert bench.run() == 0
    assert set(bench.ledger.answers().values()) == {1}
    assert len(bench.ledger) == 6 * TURNS


def test_check_counts_every_turn(command: Command) -> None:
    command.write("job.jsonl", {"turns": ["x" * 400, "y" * 400, "z" * 400], "max_tokens": 10})
    found = command("check", "job.jsonl", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--json").summary
    apart = {"turns": ["x" * 400]}
    command.write("job.jsonl", apart)
    one = command("check", "job.jsonl", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--json").summary
    assert found["estimate"]["prompt_tokens"] > 5.5 * one["estimate"]["prompt_tokens"]  # the third asks the first two again
    assert found["estimate"]["max_completion_tokens"] == 30


@pytest.mark.parametrize("stream", [False, True])
def test_conversations_run_against_an_endpoint_streamed_or_not(stream: bool, tmp_path: Path, simulator: str) -> None:
    bench = at_endpoint(simulator, tmp_path, [talk(number, 3) for number in range(8)], stream=stream)
    assert bench.summary["request_counts"]["completed"] == 8
    facts = [one["batchllm"] for one in bench.read("results.jsonl")]
    assert all(len(one["turns"]) == 3 and all(turn["text"] for turn in one["turns"]) for one in facts)
    assert bench.summary["usage"]["total_tokens"] == sum(one["usage"]["total_tokens"] for one in facts)
