"""`--lane batch` and `--lane auto`: the whole pipeline against a Batch API that delays, expires, fails and forgets to order."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batchllm.errors import JobError
from batchllm.simulator import BatchOrders, Faults
from tests.e2e.batched import Place, clock, exit_code, play, seconds_of
from tests.e2e.simulated import KEY, prompts, schema_file

PRICES = {"simulated-1": {"input": 1000.0, "output": 2000.0}}


def test_a_job_is_split_at_the_limits_and_every_line_answered_once(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place()
        assert exit_code(summary) == 0
        assert [one["requests"] for one in place.events("submitting")] == [20, 20, 10]
        assert len(place.results) == 50
        assert Counter(place.asked).most_common(1)[0][1] == 1
        facts = place.results["doc-1"]["batchllm"]
        assert facts["lane"] == "batch"
        assert facts["latency_s"] >= 0
        assert not list((place.out / "batches").iterdir())

    play(tmp_path, scenario)


def test_bytes_and_queued_tokens_split_and_hold_back_too(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        assert exit_code(await place(batch={"bytes": 2048, "queued_tokens": 600})) == 0
        events = place.events("submitting")
        assert all(one["bytes"] <= 2048 for one in events)
        kinds = [one["event"] for one in place.lines("batches.jsonl") if one["event"] in ("submitting", "applied")]
        assert kinds[:2] == ["submitting", "applied"]  # the second would not have fitted beside the first

    play(tmp_path, scenario, BatchOrders(running_s=100, queued_tokens=600), lines=20)


def test_only_what_has_no_answer_is_sent_again(tmp_path: Path) -> None:
    orders = BatchOrders(
        validating_s=60, running_s=3600, finalizing_s=60, expires=0.5, troubles=2, missing=0.05, status_zero=0.05,
        request_timeout=0.05, line_troubles=1, wrong_counts=True, late_ids=2, drops_metadata=True,
    )  # fmt: skip

    async def scenario(place: Place) -> None:
        summary = await place(batch={"lines": 40, "poll": 1000, "poll_most": 2000})
        assert exit_code(summary) == 0
        assert summary["request_counts"]["completed"] == 100
        again = sum(one["requests"] for one in place.events("submitting") if one["after"])
        unanswered = sum(one["again"] for one in place.events("applied"))
        assert again == unanswered > 10
        missing = sum(one["missing"] for one in place.events("applied"))
        assert missing > 0
        assert len(place.asked) == 100 + missing
        notes = [one for one in place.lines("attempts.jsonl") if "record" not in one]
        never_begun = sum(one["never_begun"] for one in place.events("applied"))
        assert len(notes) == unanswered - never_begun

    play(tmp_path, scenario, orders, lines=100, faults=Faults(server_error=0.05))


def test_an_invalid_answer_is_asked_again_in_a_batch_that_follows_with_what_was_wrong(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place(schema=schema_file(tmp_path), reask=1)
        asked_again = [one for one in place.asked if "does not fit" in one]
        assert asked_again
        assert len(place.asked) == 50 + len(asked_again)
        repaired = [one for one in place.results.values() if one["batchllm"]["attempts"] == 2]
        assert repaired
        for one in repaired:
            assert one["batchllm"]["rejected_usage"]["completion_tokens"] > 0
            assert one["batchllm"]["usage"]["total_tokens"] > one["response"]["body"]["usage"]["total_tokens"]
        total = sum(one["batchllm"]["usage"]["total_tokens"] for one in [*place.results.values(), *place.lines("errors.jsonl")])
        assert summary["usage"]["total_tokens"] == total

    play(tmp_path, scenario, faults=Faults(invalid_json=0.3))


def test_a_run_that_ends_leaves_the_batches_running_and_the_next_one_fetches_them(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        first = await place(stop_after=3)
        assert exit_code(first) == 75
        assert first["lanes"]["batch"]["unfinished"] == 3
        assert first["lanes"]["batch"]["unfinished_lines"] == 50
        assert exit_code(await place()) == 0
        assert place.simulator.stats["batch_lines"] == 50
        assert len(place.asked) == 50

    play(tmp_path, scenario, BatchOrders(running_s=5000))


def test_answers_find_their_lines_in_a_job_that_has_changed_meanwhile(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place(stop_after=2)
        lines: list[Any] = [{"custom_id": "new", "prompt": "Tell about news"}, *prompts(30)]
        lines[5] = {"custom_id": "doc-5", "prompt": "Tell about something else"}
        del lines[10]  # doc-10
        place.write(lines)
        assert exit_code(await place()) == 0
        assert set(place.results) == {"new", *(f"doc-{number}" for number in range(1, 31) if number != 10)}
        assert place.results["doc-9"]["batchllm"]["line"] == 10
        assert place.simulator.stats["batch_lines"] == 30 + 2
        assert Counter(place.asked)["Tell about something else"] == 1
        assert list((place.out / "batches").glob("*.output.jsonl")) == []  # all is done: nothing refers to them

    play(tmp_path, scenario, BatchOrders(running_s=5000), lines=30)


@pytest.mark.parametrize("drops_metadata", [False, True])
def test_a_creation_whose_reply_was_lost_is_found_again_and_not_repeated(tmp_path: Path, drops_metadata: bool) -> None:
    async def scenario(place: Place) -> None:
        assert exit_code(await place()) == 0
        assert place.simulator.stats["batches"] == 3

    play(tmp_path, scenario, BatchOrders(lost_creations=2, list_lag_s=20, drops_metadata=drops_metadata))


def test_batches_that_come_back_empty_end_the_run_and_leave_the_lines_pending(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place(batch={})
        assert exit_code(summary) == 75
        assert "3 batches came back without one answer" in summary["ended"]["reason"]
        assert summary["request_counts"]["pending"] == 50
        assert place.simulator.stats["batches"] == 3
        assert place.asked == []

    play(tmp_path, scenario, BatchOrders(expires=1, done_share=0))


def test_a_batch_too_large_for_the_queue_is_halved_until_it_fits(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place(batch={})
        assert exit_code(summary) == 0
        sizes = [one["requests"] for one in place.events("submitting")]
        assert sizes[:2] == [50, 25]
        assert len(place.asked) == 50

    play(tmp_path, scenario, BatchOrders(queued_tokens=1500))


def test_while_others_fill_the_queue_a_batch_waits_for_one_of_its_own_to_end(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        assert exit_code(await place()) == 0
        assert len(place.asked) == 50

    play(tmp_path, scenario, BatchOrders(running_s=1000, queued_tokens=1100))


def test_a_failure_that_no_other_batch_would_survive_ends_the_run(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place()
        assert exit_code(summary) == 77
        assert "model_not_found" in summary["ended"]["reason"]
        assert place.asked == []

    play(tmp_path, scenario, BatchOrders(fails=1, failure="model_not_found"), lines=5)


def test_a_line_the_provider_does_not_accept_fails_and_the_others_are_done(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place()
        assert exit_code(summary) == 1
        assert summary["request_counts"]["completed"] == 4
        (failed,) = place.lines("errors.jsonl")
        assert failed["custom_id"] == "long"
        assert failed["error"]["code"] == "too_large"
        assert len(place.asked) == 4

    lines = [*prompts(2), {"custom_id": "long", "prompt": "Tell all about it. " * 50}, *prompts(4)[2:]]
    play(tmp_path, scenario, BatchOrders(max_line_bytes=600), lines=lines)


def test_a_completed_batch_that_never_names_its_files_is_not_paid_for_again(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place()
        assert exit_code(summary) == 69
        assert "names no file" in summary["ended"]["reason"]
        assert place.simulator.stats["batches"] == 1

    play(tmp_path, scenario, BatchOrders(late_ids=1_000_000), lines=5)


def test_a_wrong_key_stops_the_run_and_stands_nowhere(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        place.key = "sk-wrong-0123456789abcdef"
        summary = await place()
        assert exit_code(summary) == 77
        assert "the key came from $TEST_KEY" in summary["ended"]["reason"]
        assert place.simulator.stats["batches"] == 0
        written = b"".join(path.read_bytes() for path in place.out.rglob("*") if path.is_file())
        assert place.key.encode() not in written
        assert KEY.encode() not in written

    play(tmp_path, scenario)


def test_a_batch_another_account_made_is_not_bought_again(tmp_path: Path) -> None:
    async def first(place: Place) -> None:
        assert exit_code(await place(stop_after=1)) == 75

    async def second(place: Place) -> None:
        summary = await place()
        assert exit_code(summary) == 77
        assert "--forget" in summary["ended"]["reason"]
        assert place.simulator.stats["batches"] == 0

    play(tmp_path, first, BatchOrders(running_s=5000), lines=5)
    play(tmp_path, second, lines=5)


def test_the_batch_price_is_reckoned_and_what_it_saved_is_told(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place(prices=PRICES, batch={})
        usage = summary["usage"]
        live = (usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 2000) / 1e6
        assert summary["cost_usd"] == pytest.approx(live / 2, abs=1e-5)
        lane = summary["lanes"]["batch"]
        assert lane["cost_usd"] == pytest.approx(live / 2, abs=1e-5)
        assert lane["saved_usd"] == pytest.approx(live / 2, abs=1e-5)
        assert place.results["doc-1"]["batchllm"]["price_assumed"] == 0.5

    play(tmp_path, scenario)


def test_a_budget_is_kept_and_the_rest_left_pending(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        one = await place(prices=PRICES, max_cost=0.3, assume_max_tokens=100, batch={"lines": 5})
        assert exit_code(one) == 75
        assert "budget" in one["ended"]["reason"]
        assert 0 < one["cost_usd"] <= 0.3
        assert one["request_counts"]["pending"] > 0

    play(tmp_path, scenario)


def test_conversations_are_left_for_the_live_lane_and_said_to_be(tmp_path: Path) -> None:
    lines = [*prompts(3), {"custom_id": "talk", "turns": ["Hello?", "And then?"]}]

    async def scenario(place: Place) -> None:
        summary = await place()
        assert exit_code(summary) == 75
        assert "--lane live" in summary["ended"]["reason"]
        assert exit_code(await place(lane="live")) == 0
        assert len(place.results) == 4

    play(tmp_path, scenario, lines=lines)


def test_lines_of_several_models_go_in_batches_of_their_own(tmp_path: Path) -> None:
    lines = [*prompts(4, model="a"), *[{**one, "custom_id": f"b{number}"} for number, one in enumerate(prompts(4, model="b"))]]

    async def scenario(place: Place) -> None:
        assert exit_code(await place()) == 0
        assert [one["model"] for one in place.events("submitting")] == ["a", "b"]

    play(tmp_path, scenario, lines=lines)


@pytest.mark.parametrize("more", [{"lane": "live"}, {"fresh": True}])
def test_lines_that_are_with_the_provider_are_not_asked_elsewhere(tmp_path: Path, more: dict[str, Any]) -> None:
    async def scenario(place: Place) -> None:
        await place(stop_after=1)
        with pytest.raises(JobError, match="5 lines are in 1 unfinished batches") as refused:
            await place(**more)
        assert refused.value.exit_code == 2
        assert place.simulator.stats["served"] == 0

    play(tmp_path, scenario, BatchOrders(running_s=5000), lines=5)


def test_cancelling_keeps_what_is_finished_and_leaves_the_rest_pending(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place(max_runtime=3000, batch={})
        summary = await place(cancel=True, batch={})
        counts = summary["request_counts"]
        assert 0 < counts["completed"] < 200
        assert counts["completed"] + counts["pending"] == 200
        assert summary["lanes"]["batch"]["unfinished"] == 0
        assert len(place.asked) == counts["completed"]
        assert exit_code(await place(lane="live")) == 0
        assert len(place.asked) == 200

    play(tmp_path, scenario, BatchOrders(running_s=6000, cancelling_s=300), lines=200)


def test_cancelling_a_batch_that_was_never_created_creates_none(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place(stop_after=1)
        log = place.out / "batches.jsonl"
        log.write_bytes(b"".join(one for one in log.read_bytes().splitlines(keepends=True) if b'"submitting"' in one))
        events = place.events("submitting")
        events[0]["file_id"] = "file-unknown"
        events[0]["tag"] = "0" * 16
        (place.out / "batches" / f"{'0' * 16}.ids").write_text("x-y\n")
        with log.open("ab") as file:
            file.write(json.dumps(events[0]).encode() + b"\n")
        summary = await place(cancel=True)
        assert summary["lanes"]["batch"]["unfinished"] == 0
        assert place.simulator.stats["batches"] == 1
        assert [one["why"] for one in place.events("dropped")] == ["it was never created"]

    play(tmp_path, scenario, BatchOrders(running_s=5000), lines=5)


def test_in_auto_what_is_not_back_in_time_is_cancelled_and_done_live_before_the_deadline(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summaries: list[dict[str, Any]] = []

        async def run() -> None:
            summaries.append(await place(lane="auto", until=clock(3), batch={}, prices=PRICES))

        seconds = await seconds_of(run())
        (summary,) = summaries
        assert exit_code(summary) == 0
        assert 3600 < seconds < 3 * 3600 + 60
        lanes = summary["lanes"]
        assert lanes["batch"]["answered"] + lanes["live"]["answered"] == 200
        assert min(lanes["batch"]["answered"], lanes["live"]["answered"]) > 0
        assert len(place.asked) == 200
        assert summary["cost_usd"] == pytest.approx(lanes["batch"]["cost_usd"] + lanes["live"]["cost_usd"], abs=1e-5)
        assert {one["batchllm"].get("lane") for one in place.results.values()} == {"batch", None}

    play(tmp_path, scenario, BatchOrders(running_s=6 * 3600), lines=200)


def test_in_auto_nothing_is_asked_live_where_the_batches_are_back_in_time(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        summary = await place(lane="auto", until=clock(12))
        assert exit_code(summary) == 0
        assert summary["lanes"]["live"]["answered"] == 0
        assert summary["lanes"]["batch"]["answered"] == 50
        assert place.simulator.stats["requests"] == 0

    play(tmp_path, scenario, BatchOrders(running_s=3600))


def test_in_auto_what_no_batch_can_take_is_done_live(tmp_path: Path) -> None:
    lines = [*prompts(3), {"custom_id": "talk", "turns": ["Hello?", "And then?"]}]

    async def scenario(place: Place) -> None:
        summary = await place(lane="auto", until=clock(12))
        assert exit_code(summary) == 0
        assert summary["lanes"]["live"]["answered"] == 1

    play(tmp_path, scenario, lines=lines)


class Stranger:
    """A server that answers every request with the same bytes and remembers what it was sent."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.reply)
        await writer.drain()
        writer.close()


def test_a_redirect_is_not_followed_and_only_our_own_headers_go_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-login")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-secret: other")

    async def scenario(place: Place) -> None:
        other = Stranger(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        elsewhere = await asyncio.start_server(other.serve, "127.0.0.1", 0)
        port = elsewhere.sockets[0].getsockname()[1]
        head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{port}/v1/files\r\n"
        one = Stranger(head.encode() + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
        async with elsewhere, server:
            address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            summary = await place(base_url=address)
        assert exit_code(summary) == 77 or exit_code(summary) == 69
        assert not other.heads
        assert one.heads
        sent = one.heads[0].lower()
        assert f"authorization: bearer {KEY}".encode() in sent
        assert b"org-of-the-login" not in sent
        assert b"x-secret" not in sent
        assert b"x-stainless" not in sent

    play(tmp_path, scenario, lines=2)
