"""One prompt's way from its line to its record: what each reply makes of it, without a loop or a network."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.billing import Price
from batchllm.endpoints import endpoint_for
from batchllm.errors import ErrorCode, Phase, TransportError
from batchllm.item import Item
from batchllm.providers import provider
from batchllm.route import Route
from batchllm.settings import Retries
from batchllm.steps import Again, Done, Halt
from batchllm.strictjson import dumps
from batchllm.types import Kind, Reply, Request, Usage
from batchllm.validation import from_json_schema

SCHEMA = from_json_schema(
    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}, "number"
)
POLICY = Retries(max_attempts=3, base=1.0, cap=8.0)


def route(*, schema: Any = None, reask: int = 1, stream: bool | None = None, name: str = "custom") -> Route:
    return Route(
        provider=provider(name),
        base_url="http://localhost:1/v1",
        headers={"Authorization": "Bearer k"},
        endpoint_for=cache(endpoint_for),
        schema_for=lambda request: schema,
        mode="json_schema",
        retries=POLICY,
        reask=reask,
        stream=stream,
        settings_digest="00000000",
        prices=lambda *names: Price(1.0, 2.0) if "m" in names else None,
    )


def item(way: Route | None = None, **body: Any) -> Item:
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **body}
    one = Item(way or route(), Request(4, "doc", "/v1/chat/completions", asked, "ab" * 16, {"row": 1}))
    one.call(0.0)
    return one


def chat(content: Any = "hello", finish: str | None = "stop", usage: Any = (10, 5), **message: Any) -> bytes:
    told = None if usage is None else dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))
    if told:
        told["total_tokens"] = sum(usage)
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return json.dumps({"object": "chat.completion", "model": "m", "choices": [choice], "usage": told}).encode()


def reply(body: bytes, status: int = 200, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, 0.5)


def done(step: Any) -> Done:
    assert isinstance(step, Done), step
    return step


def again(step: Any) -> Again:
    assert isinstance(step, Again), step
    return step


def written(step: Again) -> Any:
    """The note as it stands in `attempts.jsonl`."""
    return json.loads(dumps(step.note))


def test_an_answer_is_a_record_with_the_reply_untouched() -> None:
    raw = chat().replace(b", ", b",\n ")
    record = done(item().received(reply(raw, x_request_id="req_1"), 1.0, 0.5)).record
    line = record.to_json()
    assert line.count(b"\n") == 1
    written = json.loads(line)
    assert written["response"] == {"status_code": 200, "request_id": "req_1", "body": json.loads(raw)}
    assert written["batchllm"]["metadata"] == {"row": 1}
    assert written["batchllm"]["usage"]["total_tokens"] == 15
    assert written["batchllm"]["cost_usd"] == pytest.approx(20e-6)
    assert record.text == "hello"


def test_being_told_to_wait_uses_up_no_attempt_and_is_never_undercut() -> None:
    one = item()
    for _ in range(50):
        step = again(one.received(reply(b"{}", 429, retry_after="7"), 1.0, 0.0))
        assert step.wait_s >= 7
        one.call(1.0)
    assert isinstance(one.received(reply(chat()), 2.0, 0.5), Done)


def test_errors_that_may_be_billed_use_up_attempts() -> None:
    one = item()
    again(one.received(reply(b"{}", 500), 1.0, 0.5))
    again(one.received(reply(b"{}", 502), 1.0, 0.5))
    last = done(one.received(reply(b"{}", 500), 1.0, 0.5))
    assert last.record.code is ErrorCode.SERVER_ERROR
    assert last.record.facts["retryable"] is True
    assert last.record.facts["unknown_outcomes"] == 3


def test_while_the_endpoint_is_down_failing_to_reach_it_uses_up_nothing() -> None:
    one = item()
    for _ in range(20):
        again(one.received(reply(b"{}", 500), 1.0, 0.5, outage=True))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": {"message": "bad", "type": "invalid_request_error"}}, ErrorCode.INVALID_REQUEST),
        (400, {"error": {"message": "maximum context length is 4096", "code": "context_length_exceeded"}}, ErrorCode.TOO_LARGE),
        (404, {"error": {"message": "model nope does not exist"}}, ErrorCode.NOT_FOUND),
        (413, {}, ErrorCode.TOO_LARGE),
        (422, {"detail": [{"msg": "x"}]}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_waiting_cannot_cure_is_not_repeated(status: int, body: Any, code: ErrorCode) -> None:
    record = done(item().received(reply(json.dumps(body).encode(), status), 1.0, 0.5)).record
    assert record.code is code
    assert record.facts["retryable"] is False
    assert json.loads(record.to_json())["response"]["body"] == body


@pytest.mark.parametrize("status", [401, 402, 403])
def test_an_account_level_no_stops_the_run_and_leaves_the_line_pending(status: int) -> None:
    assert isinstance(item().received(reply(b'{"error":{"message":"no"}}', status), 1.0, 0.5), Halt)


def test_a_valid_object_stands_in_parsed() -> None:
    record = done(item(route(schema=SCHEMA)).received(reply(chat('```json\n{"n": 3}\n```')), 1.0, 0.5)).record
    assert record.parsed == {"n": 3}
    assert json.loads(record.to_json())["batchllm"]["parsed"] == {"n": 3}


def test_the_schema_is_sent_strictly() -> None:
    one = Item(route(schema=SCHEMA), item().request)
    sent = json.loads(one.call(0.0).body)
    assert sent["response_format"]["json_schema"]["schema"]["required"] == ["n"]
    assert sent["response_format"]["json_schema"]["strict"] is True


def test_an_invalid_answer_is_asked_again_with_what_was_wrong_and_both_are_counted() -> None:
    one = item(route(schema=SCHEMA))
    step = again(one.received(reply(chat('{"n": "x"}')), 1.0, 0.5))
    assert step.verdict.code is ErrorCode.SCHEMA_INVALID
    assert step.note["billed"] == "yes"
    assert written(step)["body"]["choices"]
    messages = json.loads(one.call(1.0).body)["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant", "user"]
    assert "n" in messages[-1]["content"]
    record = done(one.received(reply(chat('{"n": 1}')), 2.0, 0.5)).record
    assert record.parsed == {"n": 1}
    assert record.usage == Usage(20, 10, 30)
    assert record.facts["rejected_usage"]["total_tokens"] == 15


def test_the_last_invalid_answer_is_kept() -> None:
    one = item(route(schema=SCHEMA))
    again(one.received(reply(chat("first")), 1.0, 0.5))
    one.call(1.0)
    record = done(one.received(reply(chat("second")), 1.0, 0.5)).record
    assert record.code is ErrorCode.SCHEMA_INVALID
    assert json.loads(record.to_json())["response"]["body"]["choices"][0]["message"]["content"] == "second"


def test_an_invalid_answer_is_kept_where_asking_again_is_refused() -> None:
    one = item(route(schema=SCHEMA))
    again(one.received(reply(chat("first")), 1.0, 0.5))
    one.call(1.0)
    record = done(one.received(reply(b'{"error":{"message":"maximum context length"}}', 400), 1.0, 0.5)).record
    assert record.code is ErrorCode.SCHEMA_INVALID
    assert record.text == "first"


@pytest.mark.parametrize(
    ("content", "finish", "message", "code"),
    [
        ("half an ans", "length", {}, ErrorCode.TRUNCATED),
        ("", "length", {"reasoning_content": "thinking…"}, ErrorCode.TRUNCATED),
        ("", "content_filter", {}, ErrorCode.CONTENT_FILTER),
        (None, "stop", {"refusal": "I cannot"}, ErrorCode.REFUSAL),
    ],
)
def test_no_answer_by_intent_is_told_apart_and_not_asked_again(
    content: Any, finish: str, message: dict[str, Any], code: ErrorCode
) -> None:
    record = done(item(route(schema=SCHEMA)).received(reply(chat(content, finish, **message)), 1.0, 0.5)).record
    assert record.code is code
    assert record.usage.total_tokens == 15
    assert record.facts["retryable"] is False


def test_an_empty_answer_is_repeated_once_and_then_kept() -> None:
    one = item()
    assert again(one.received(reply(chat("")), 1.0, 0.5)).verdict.kind is Kind.PAID
    one.call(1.0)
    record = done(one.received(reply(chat("")), 1.0, 0.5)).record
    assert record.code is ErrorCode.BAD_RESPONSE
    assert record.usage.total_tokens == 30
    assert record.facts["retryable"] is False


@pytest.mark.parametrize("usage", [None, (0, 0)])
def test_missing_or_empty_usage_is_unknown_and_never_zero(usage: Any) -> None:
    record = done(item().received(reply(chat(usage=usage)), 1.0, 0.5)).record
    assert record.facts["usage"]["total_tokens"] is None
    assert record.facts["cost_usd"] is None


def test_two_gateway_time_outs_after_the_same_time_end_the_line_with_the_advice_to_stream() -> None:
    one = item()
    slow = Reply(524, {}, b"<html>", 100.2)
    again(one.received(slow, 101.0, 0.5))
    one.call(102.0)
    record = done(one.received(Reply(524, {}, b"<html>", 100.9), 203.0, 0.5)).record
    assert record.code is ErrorCode.TIMEOUT
    assert "stream" in record.message


def test_a_connection_lost_on_reuse_is_tried_again_at_once() -> None:
    step = again(item().failed(TransportError(Phase.SEND, "lost"), 1.0, 0.9))
    assert step.wait_s == 0
    assert step.note["billed"] == "maybe"


def test_a_reply_that_broke_off_behind_its_last_byte_is_no_loss() -> None:
    error = TransportError(Phase.READ, "broke off", partial=chat(), status=200)
    assert done(item().failed(error, 1.0, 0.5)).record.ok


def test_what_did_arrive_of_a_broken_reply_is_kept() -> None:
    error = TransportError(Phase.READ, "broke off", partial=chat()[:50], status=200)
    assert again(item().failed(error, 1.0, 0.5)).note["body"] == chat()[:50].decode()


def test_a_reply_with_lone_surrogates_is_kept_and_readable() -> None:
    raw = chat().replace(b"hello", b"\\ud800 oh")
    line = done(item().received(reply(raw), 1.0, 0.5)).record.to_json()
    assert json.loads(line)["response"]["body"]["choices"][0]["message"]["content"] == "\ud800 oh"
    line.decode("utf-8")


def test_a_cut_stream_is_no_success_and_what_came_is_kept() -> None:
    one = item(route(stream=True))
    assert one.feed is not None
    one.feed(b'data: {"choices":[{"index":0,"delta":{"content":"hal"},"finish_reason":null}]}\n\n')
    step = again(one.received(reply(b"data: ..."), 1.0, 0.5))
    assert written(step)["body"]["choices"][0]["message"]["content"] == "hal"


def test_a_finished_stream_is_the_same_record_as_a_reply_in_one_piece() -> None:
    one = item(route(stream=True))
    assert one.feed is not None
    for text in ('{"delta":{"content":"hel"},"index":0}', '{"delta":{"content":"lo"},"index":0,"finish_reason":"stop"}'):
        one.feed(f'data: {{"model":"m","choices":[{text}]}}\n\n'.encode())
    one.feed(b'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}\n\ndata: [DONE]\n\n')
    record = done(one.received(Reply(200, {}, b"data", 2.0, 0.5), 2.0, 0.5)).record
    assert record.text == "hello"
    assert record.usage.total_tokens == 15
    assert record.facts["ttft_s"] == 0.5
    assert record.facts["tokens_per_s"] == pytest.approx(5 / 1.5, abs=0.01)


@given(st.binary(max_size=120), st.sampled_from([200, 201, 204, 302, 400, 404, 418, 429, 500, 503, 529, 999]))
def test_any_bytes_with_any_status_are_one_classified_outcome(body: bytes, status: int) -> None:
    one = item(route(schema=SCHEMA))
    step = one.received(reply(body, status), 1.0, 0.5)
    assert isinstance(step, Done | Again | Halt)
    if isinstance(step, Done):
        json.loads(step.record.to_json().decode("utf-8"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda inner:
       st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["choices", "message", "content", "error", "usage",
       "code", "finish_reason", "index", "object"]), inner, max_size=4), max_leaves=12))  # fmt: skip
def test_any_json_with_a_200_is_one_classified_outcome(body: Any) -> None:
    step = item().received(reply(json.dumps(body).encode()), 1.0, 0.5)
    assert isinstance(step, Done | Again | Halt)
