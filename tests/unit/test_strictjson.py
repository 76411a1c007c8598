"""JSON in and out: what cannot be written is told, what was written can be read back."""

from __future__ import annotations

import json

import orjson
import pytest

from batchllm.strictjson import DEEPEST, canonical, deep, dumps, loads, too_deep


def nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("depth", [0, 1, DEEPEST - 1, DEEPEST])
def test_up_to_the_limit_everything_is_written_and_read_back(depth: int) -> None:
    value = nested(depth)
    assert not too_deep(value)
    assert loads(dumps(value)) == value
    assert loads(canonical(value)) == value


@pytest.mark.parametrize("depth", [DEEPEST + 1, 500, 1000, 100_000])
def test_beyond_the_limit_it_is_told_without_recursion(depth: int) -> None:
    assert too_deep(nested(depth))


@pytest.mark.parametrize("depth", [300, 500, 1000, 5000])
def test_what_is_nested_too_deep_for_a_digest_or_a_record_is_a_value_error(depth: int) -> None:
    with pytest.raises(ValueError, match="nested"):
        canonical(nested(depth))
    if depth >= 1000:
        with pytest.raises(ValueError, match="nested"):
            dumps(nested(depth))


def test_a_document_with_few_brackets_is_not_walked_through() -> None:
    assert not deep(b'{"a": [1, 2]}', nested(1000)), "the value is not even looked at"
    assert deep(b"[" * 300, nested(300))


def test_a_document_inside_stays_as_it_came_whatever_stands_beside_it() -> None:
    inner = b'{"n":1e400,"s":"\\ud800","d":' + b"[" * 900 + b"]" * 900 + b"}"
    line = dumps({"lone": "\ud800", "body": orjson.Fragment(inner)})
    assert inner in line
    assert json.loads(dumps({"lone": "\ud800", "body": orjson.Fragment(b'{"a":1}')}))["body"] == {"a": 1}


def test_a_text_that_looks_like_a_place_is_left_alone() -> None:
    assert loads(dumps({"lone": "\ud800", "text": "\x005\x00"}))["text"] == "\x005\x00"
