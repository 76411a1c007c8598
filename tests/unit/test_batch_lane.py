"""The decisions of the batch lane, each as a table: no loop, no provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.billing import Price
from batchllm.engines.batch_lane.application import Among
from batchllm.engines.batch_lane.files import History
from batchllm.engines.batch_lane.mistral import hours
from batchllm.engines.batch_lane.prices import BatchPrices
from batchllm.engines.batch_lane.remote import Fault, Seen
from batchllm.engines.batch_lane.returns import (
    MISSING,
    NEVER_BEGUN,
    Returned,
    files_due,
    queue_is_full,
    rejected,
    returned,
    word,
)
from batchllm.engines.batch_lane.sheets import in_a_batch, line_id, ranges
from batchllm.engines.batch_lane.spool import Spool, TornError
from batchllm.engines.batch_lane.timing import CANCEL_S, LivePool, live_in, next_pause
from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.item import Item
from batchllm.journal.batches import fold
from batchllm.providers import names, provider
from batchllm.providers.batch_services import SERVICES, service_of
from batchllm.settings import BatchLane, Retries
from batchllm.steps import Again, Done
from batchllm.testing import chat_reply
from batchllm.testing.simulation import request, route
from batchllm.types import Kind, Request

BODY = json.loads(chat_reply("yes").body)
API_ERROR = {"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}}


def line(response: Any, error: Any = None) -> dict[str, Any]:
    return {"id": "batch_req_1", "custom_id": "x", "response": response, "error": error}


def step_of(came: Returned) -> Done | Again:
    step = came.judged(Item(route(Retries()), request(1)), 0.0, 3600.0)
    assert isinstance(step, Done | Again)
    return step


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (line({"status_code": 200, "request_id": "r", "body": BODY}), None),
        (line({"status_code": 200, "body": BODY}, {"code": None}), None),
        (line({"status_code": 400, "request_id": "r", "body": API_ERROR}), ErrorCode.NOT_FOUND),
        (line({"status_code": 400, "request_id": "r", "body": None}, API_ERROR), ErrorCode.NOT_FOUND),
        (line({"status_code": 400, "request_id": "r", "body": None}, API_ERROR["error"]), ErrorCode.NOT_FOUND),
    ],
    ids=["answer", "answer beside an empty error", "error in the body", "vLLM: nested error", "error beside"],
)
def test_a_line_with_a_response_is_judged_like_a_live_reply(value: dict[str, Any], code: ErrorCode | None) -> None:
    came = returned(value)
    assert came is not None
    step = step_of(came)
    assert isinstance(step, Done)
    assert step.record.code == code
    assert step.record.ok == (code is None)


@pytest.mark.parametrize(
    ("value", "kind", "code"),
    [
        (line({"status_code": 500, "body": {"error": {"message": "oops"}}}), Kind.MAYBE_PAID, ErrorCode.SERVER_ERROR),
        (line({"status_code": 429, "body": {"error": {"message": "slow down"}}}), Kind.REFUSED, ErrorCode.RATE_LIMITED),
        (line({"status_code": 0, "request_id": "", "body": ""}), Kind.MAYBE_PAID, ErrorCode.CONNECTION),
        (line({"status_code": None, "body": BODY}), Kind.MAYBE_PAID, ErrorCode.CONNECTION),
        (line({"status_code": True, "body": BODY}), Kind.MAYBE_PAID, ErrorCode.CONNECTION),
        (line({"status_code": 200, "body": None}), Kind.MAYBE_PAID, ErrorCode.CONNECTION),
        (line(None, {"code": "request_timeout", "message": "too late"}), Kind.MAYBE_PAID, ErrorCode.TIMEOUT),
        (line(None, "broke down"), Kind.MAYBE_PAID, ErrorCode.CONNECTION),
        (line(None, None), Kind.MAYBE_PAID, ErrorCode.CONNECTION),
        (line("odd", None), Kind.MAYBE_PAID, ErrorCode.CONNECTION),
        (line({"status_code": 200, "body": {"choices": []}}), Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE),
        (line({"status_code": 200, "body": "text"}), Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE),
    ],
)
def test_a_line_without_an_answer_is_asked_again(value: dict[str, Any], kind: Kind, code: ErrorCode) -> None:
    came = returned(value)
    assert came is not None
    step = step_of(came)
    assert isinstance(step, Again)
    assert (step.verdict.kind, step.verdict.code) in {(kind, code), (Kind.PAID, code)}


def test_a_line_that_stands_in_neither_file_may_have_been_billed() -> None:
    step = step_of(MISSING)
    assert isinstance(step, Again)
    assert step.note["billed"] == "maybe"


@pytest.mark.parametrize("code", sorted(NEVER_BEGUN))
def test_what_was_never_begun_is_no_attempt(code: str) -> None:
    assert returned(line(None, {"code": code, "message": "not executed"})) is None


def test_a_line_the_validation_names_fails_for_good() -> None:
    step = step_of(rejected(Fault("invalid_request", "the body is wrong", 3)))
    assert isinstance(step, Done)
    assert step.record.code is ErrorCode.INVALID_REQUEST
    assert "the body is wrong" in step.record.message


def test_a_reply_that_waited_in_a_file_is_the_same_reply() -> None:
    for came in (Returned(200, "req_1", BODY), Returned(failure="gone"), Returned(500, None, {"error": "x"})):
        assert Returned.from_json(json.loads(json.dumps(came.as_json()))) == came


@pytest.mark.parametrize(
    ("said", "meant"),
    [("completed", "completed"), ("SUCCESS", "completed"), ("TIMEOUT_EXCEEDED", "expired"), ("CANCELLATION_REQUESTED", "cancelling"),
     ("canceled", "cancelled"), ("in_queue", "in_queue"), ("", "")],
)  # fmt: skip
def test_other_providers_words_are_understood_and_unknown_ones_mean_not_yet(said: str, meant: str) -> None:
    assert word(said) == meant


@pytest.mark.parametrize(
    ("seen", "due"),
    [
        (Seen("b", "completed"), True),
        (Seen("b", "completed", output_file_id="f"), False),
        (Seen("b", "completed", error_file_id="f"), False),  # every line failed
        (Seen("b", "completed", error_file_id="f", counts={"completed": 3}), True),
        (Seen("b", "expired"), False),
        (Seen("b", "expired", counts={"completed": 3}), True),
        (Seen("b", "failed", counts={"completed": 3}), False),
    ],
)
def test_files_that_should_be_there_are_waited_for(seen: Seen, due: bool) -> None:
    assert files_due(seen) is due


@pytest.mark.parametrize(
    ("faults", "full"),
    [
        ((Fault("token_limit_exceeded", "Enqueued token limit reached"),), True),
        ((Fault("", "too many tokens ENQUEUED"),), True),
        ((Fault("token_limit_exceeded", "line too long", 4),), False),
        ((Fault("model_not_found", "no such model"),), False),
        ((), False),
    ],
)
def test_a_full_queue_is_told_from_a_batch_that_is_wrong(faults: tuple[Fault, ...], full: bool) -> None:
    assert queue_is_full(faults) is full


@given(st.sets(st.integers(1, 300)))
def test_ranges_hold_the_lines_they_are_made_of_and_no_others(lines: set[int]) -> None:
    made = [list(pair) for pair in ranges(sorted(lines))]
    among = Among(made)
    assert {number for number in range(1, 302) if among(number)} == lines


def test_without_ranges_every_line_is_looked_at() -> None:
    assert Among(None)(7)


def test_a_lines_id_follows_its_custom_id_and_its_content_and_is_short() -> None:
    one = Request(1, "doc-1" * 100, "/v1/chat/completions", {}, "a" * 32)
    moved = Request(9, one.custom_id, one.url, {"temperature": 1}, one.digest)
    assert line_id(one) == line_id(moved)
    assert line_id(one) != line_id(Request(1, one.custom_id, one.url, {}, "b" * 32))
    assert line_id(one) != line_id(Request(1, "doc-2", one.url, {}, one.digest))
    assert len(line_id(one)) <= 64
    line_id(Request(1, "\ud800", one.url, {}, one.digest))


def test_what_only_a_live_request_may_ask_is_left_out() -> None:
    asked = Request(1, "a", "/v1/chat/completions", {"stream": True, "stream_options": {}, "n": 2}, "a" * 32)
    assert in_a_batch(asked).body == {"n": 2}
    assert in_a_batch(asked).digest == asked.digest


@pytest.mark.parametrize(
    ("name", "path", "url"),
    [
        ("openai", "/v1/chat/completions", "/v1/chat/completions"),
        ("azure", "/v1/chat/completions", "/chat/completions"),
        ("zhipu", "/v1/chat/completions", "/v4/chat/completions"),
        ("dashscope", "/v1/embeddings", "/v1/embeddings"),
    ],
)
def test_each_providers_lines_have_the_url_it_wants(name: str, path: str, url: str) -> None:
    assert SERVICES[name].url(path) == url


def test_every_provider_that_says_it_has_a_batch_api_has_a_row_and_the_others_are_refused() -> None:
    for name in names():
        chosen = provider(name)
        if chosen.batch or name in (*SERVICES, "custom"):
            assert service_of(chosen, BatchLane()).lines >= 1000
        else:
            with pytest.raises(JobError, match="no Batch API") as refused:
                service_of(chosen, BatchLane())
            assert refused.value.exit_code == ExitCode.USAGE


def test_ones_own_limits_go_before_the_providers() -> None:
    own = service_of(provider("siliconflow"), BatchLane(lines=10, window="48h", discount=0.4, queued_tokens=5))
    assert (own.lines, own.window, own.price, own.queued_tokens, own.bytes) == (10, "48h", 0.4, 5, 1_000_000_000)


def test_a_known_batch_price_wins_and_an_assumed_one_is_said_to_be() -> None:
    known = Price(2.0, 8.0, batch=Price(0.5, 2.0))
    unknown = Price(2.0, 8.0, 1.0, None, above=((200_000, Price(4.0, 12.0)),))
    prices = BatchPrices(lambda *names: {"a": known, "b": unknown}.get(names[0]), 0.5)
    assert prices("a") == Price(0.5, 2.0)
    assert prices.assumed("a") is None
    half = prices("b")
    assert half is not None
    assert (half.input, half.output, half.cached) == (1.0, 4.0, 0.5)
    assert half.at(300_000).input == 2.0
    assert prices.assumed("b") == 0.5
    assert prices("c") is None
    assert prices.assumed("c") is None


def test_looks_become_rarer_up_to_the_longest_pause() -> None:
    pauses, pause = [], None
    for _ in range(12):
        pause = next_pause(pause, 10.0, 300.0, 0.0)
        pauses.append(pause)
    assert pauses[:3] == [10.0, 15.0, 22.5]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300.0
    assert next_pause(300.0, 10.0, 300.0, 0.99) >= 270.0


@pytest.mark.parametrize(
    ("left", "lines", "rate", "wait"),
    [
        (10_000.0, 1000, 1.0, 10_000 - 1250 - CANCEL_S),
        (1000.0, 1000, 1.0, 0.0),  # too late already: now
        (10_000.0, 0, 1.0, 10_000 - CANCEL_S),
    ],
)
def test_the_live_pool_takes_over_early_enough_to_cancel_and_to_finish(
    left: float, lines: int, rate: float, wait: float
) -> None:
    assert live_in(left, lines, LivePool(rate), cancelling=True) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("measured", "concurrency", "rpm", "rate"),
    [(7.5, 64, None, 7.5), (None, 50, None, 10.0), (None, 50, 60, 1.0), (None, 50, 6000, 10.0), (0.0, 5, None, 1.0)],
)
def test_a_measured_rate_wins_over_what_the_limits_allow(
    measured: float | None, concurrency: int, rpm: float | None, rate: float
) -> None:
    assert LivePool.reckoned(measured, concurrency, rpm).rate == pytest.approx(rate)


@pytest.mark.parametrize(("window", "number"), [("24h", 24), ("7d", 168)])
def test_a_window_in_hours(window: str, number: int) -> None:
    assert hours(window) == number


def test_a_spool_finds_lines_by_id_and_counts_what_it_cannot_use(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(
        b'{"custom_id": "a", "n": 1}\n\n{"custom_id": "b"}\nnot json\n{"custom_id": "a", "n": 2}\n{"custom_id": "\xc3\xa9"}'
    )
    spool = Spool(path)
    assert set(spool) == {"a", "b", "é"}
    assert spool.get("a") == {"custom_id": "a", "n": 1}
    assert spool.get("é") == {"custom_id": "é"}
    assert spool.get("zzz") is None
    assert spool.others == 2
    spool.close()
    spool.close()


def test_a_file_that_breaks_off_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"custom_id": "a"}\n{"custom_id": "b", "resp')
    with pytest.raises(TornError):
        Spool(path)


def test_a_line_that_was_sent_again_twice_has_its_longest_history(tmp_path: Path) -> None:
    spools = []
    for name, count in (("one", 1), ("two", 2)):
        path = tmp_path / name
        replies = [Returned(failure=str(number)).as_json() for number in range(count)]
        path.write_text(json.dumps({"id": "a", "replies": replies}) + "\n")
        spools.append(Spool(path, "id"))
    history = History(spools)
    assert [one.failure for one in history.of("a")] == ["0", "1"]
    assert history.of("b") == []
    for spool in spools:
        spool.close()


def test_batches_are_folded_out_of_their_events() -> None:
    states = fold(
        [
            {"event": "submitting", "tag": "a", "requests": 5},
            {"event": "created", "tag": "a", "batch_id": "batch_1"},
            {"event": "submitting", "tag": "b", "requests": 2},
            {"event": "seen", "tag": "a", "status": "in_progress", "counts": {"completed": 1}},
            {"event": "seen", "tag": "unknown", "status": "completed"},
            {"event": "something newer", "tag": "a"},
            {"event": "ended", "tag": "a", "status": "completed"},
            {"event": "applied", "tag": "a", "answered": 5},
            {"event": "dropped", "tag": "b", "why": "refused"},
        ]
    )
    assert [(one.tag, one.batch_id, one.status, one.open, one.requests) for one in states.values()] == [
        ("a", "batch_1", "completed", False, 5),
        ("b", None, "submitting", False, 2),
    ]
    assert states["a"].counts == {"completed": 1}
