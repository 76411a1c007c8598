"""A job's bytes into lines, and lines into requests or reasons."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.errors import ErrorCode, JobError
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.sources.request_line import RequestLine
from batchllm.types import BadLine, Request

READER = RequestLine({"model": "m", "temperature": 0}, "/v1/chat/completions", frozenset({"receipt"}))


def read(value: Any) -> Request | BadLine:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return READER.read(7, raw)


def good(value: Any) -> Request:
    one = read(value)
    assert isinstance(one, Request), one
    return one


@given(st.lists(st.binary(max_size=20).filter(lambda one: b"\n" not in one)), st.booleans())
def test_lines_are_split_at_line_feeds_and_nothing_else(tmp_path_factory: Any, lines: list[bytes], ends: bool) -> None:
    path = tmp_path_factory.mktemp("raw") / "job.jsonl"
    text = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    path.write_bytes(b"\xef\xbb\xbf" + text)  # a mark, so that no line's own bytes can look like one
    expected = text.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert [line for _, line in raw_lines(path, 1 << 20)] == [one.rstrip(b"\r") for one in expected]


def test_unicode_separators_do_not_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "job.jsonl"
    path.write_bytes('{"prompt":"a\u2028b\u0085c"}\n'.encode())
    assert len(list(raw_lines(path, 1 << 20))) == 1


def test_a_line_above_the_cap_is_skipped_with_its_length_and_the_next_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "job.jsonl"
    path.write_bytes(b"x" * 3_000_000 + b"\nshort\n")
    (_, first), (_, second) = raw_lines(path, 2_000_000)
    assert isinstance(first, TooLong)
    assert first == 3_000_000
    assert second == b"short"


def test_gzip_is_read_and_a_truncated_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.jsonl.gz"
    data = gzip.compress(b"".join(b"line %d\n" % number for number in range(5000)))
    path.write_bytes(data)
    assert len(list(raw_lines(path, 1 << 20))) == 5000
    path.write_bytes(data[:-20])
    with pytest.raises(JobError, match="damaged after line"):
        list(raw_lines(path, 1 << 20))


def test_utf16_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "job.jsonl"
    path.write_bytes('{"prompt":"x"}'.encode("utf-16"))
    with pytest.raises(JobError, match="UTF-16"):
        list(raw_lines(path, 1 << 20))


def test_both_forms_give_the_same_request_and_digest() -> None:
    short = good({"custom_id": "a", "prompt": "hi", "max_tokens": 5})
    batch = good({"custom_id": "a", "body": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}})
    assert short.body == batch.body
    assert short.digest == batch.digest


def test_a_digest_ignores_key_order_metadata_and_settings() -> None:
    one = good({"prompt": "hi", "max_tokens": 5, "top_p": 1, "metadata": {"row": 1}})
    other = good({"top_p": 1, "max_tokens": 5, "prompt": "hi"})
    assert one.digest == other.digest
    assert good({"prompt": "hi", "max_tokens": 6, "top_p": 1}).digest != one.digest


def test_a_line_wins_over_the_settings() -> None:
    body = good({"prompt": "hi", "model": "own"}).body
    assert (body["model"], body["temperature"]) == ("own", 0)


def test_a_missing_id_becomes_the_line_number() -> None:
    assert good({"prompt": "hi"}).custom_id == "line-7"


def test_system_stands_before_messages() -> None:
    body = good({"system": "be brief", "messages": [{"role": "user", "content": "hi"}]}).body
    assert [one["role"] for one in body["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("url", "field"),
    [("/v1/embeddings", "input"), ("/v1/responses", "input"), ("/v1/completions", "prompt"), ("/v1/moderations", "input")],
)
def test_prompt_goes_where_the_endpoint_reads_it(url: str, field: str) -> None:
    assert good({"url": url, "prompt": "hi"}).body[field] == "hi"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{", "JSON"),
        (b"\xff\xfe", "UTF-8 at byte 1"),
        (b"[" * 100_000, "JSON"),
        (b'{"prompt": NaN}', "JSON"),
        ([], "array"),
        (3, "number"),
        ({}, "neither 'prompt' nor 'messages'"),
        ({"prompt": ""}, "not empty"),
        ({"prompt": 3}, "'prompt'"),
        ({"prompt": "a", "messages": []}, "stand together"),
        ({"custom_id": 3, "prompt": "a"}, "custom_id"),
        ({"custom_id": "", "prompt": "a"}, "custom_id"),
        ({"messages": "a"}, "messages"),
        ({"messages": []}, "messages"),
        ({"method": "GET", "prompt": "a"}, "method"),
        ({"url": "/v1/files", "prompt": "a"}, "url"),
        ({"url": "https://evil.example/v1/chat/completions", "prompt": "a"}, "url"),
        ({"url": "/v1/../admin", "prompt": "a"}, "url"),
        ({"url": 3, "prompt": "a"}, "url"),
        ({"body": []}, "'body' must be an object"),
        ({"body": {"messages": [{"role": "user", "content": "x"}]}, "temperature": 1}, "temperature"),
        ({"prompt": "a", "metadata": 3}, "metadata"),
        ({"prompt": "a", "schema": "none"}, "[schemas]"),
        ({"prompt": "a", "api_key": "k"}, "api_key"),
        ({"prompt": "a", "extra": {"deep": {"base_url": "x"}}}, "base_url"),
        ({"body": {"messages": [{"role": "user", "content": "x"}], "headers": {}}}, "headers"),
    ],
)
def test_a_line_that_cannot_be_sent_says_why(value: Any, said: str) -> None:
    one = read(value)
    assert isinstance(one, BadLine)
    assert one.code is ErrorCode.INVALID_LINE
    assert said in one.message


def test_a_schema_of_the_users_may_have_a_field_called_headers() -> None:
    schema = {"type": "object", "properties": {"headers": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert good({"prompt": "a", "response_format": form})


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_bad_line(raw: bytes) -> None:
    assert isinstance(READER.read(1, raw), Request | BadLine)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)
       | st.dictionaries(st.sampled_from(["prompt", "messages", "body", "url", "system", "metadata", "role"]), inner)))  # fmt: skip
def test_any_json_is_a_request_or_a_bad_line(value: Any) -> None:
    assert isinstance(READER.read(1, json.dumps(value).encode()), Request | BadLine)
