"""What replies mean: an answer, or which problem; row by row as servers send them."""

from __future__ import annotations

from typing import Any

import pytest

from batchllm.endpoints import endpoint_for
from batchllm.errors import ErrorCode
from batchllm.types import Usage
from tests.unit.endpoints.streams import CHAT, USAGE, response_body

BAD, CUT = ErrorCode.BAD_RESPONSE, ErrorCode.TRUNCATED
FILTER, REFUSAL = ErrorCode.CONTENT_FILTER, ErrorCode.REFUSAL


def one(finish: Any = "stop", choice: Any = None, **message: Any) -> dict[str, Any]:
    body = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish,
        **(choice or {}),
    }
    return {"id": "x", "model": "m-2", "choices": [body], "usage": USAGE}


def call(arguments: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize(
    ("body", "text", "problem", "words"),
    [
        pytest.param(one(content="yes"), "yes", None, "", id="answer"),
        pytest.param(one(None, content="yes"), "yes", None, "", id="no finish reason"),
        pytest.param(one("eos", content="yes"), "yes", None, "", id="foreign finish reason"),
        pytest.param(one(7, content="yes"), "yes", None, "", id="odd finish reason"),
        pytest.param(one(content=" \n"), " \n", BAD, "empty", id="blank"),
        pytest.param(one(content=""), "", BAD, "empty answer", id="empty"),
        pytest.param(one(content=None), None, BAD, "empty answer", id="null"),
        pytest.param(one(content=7), "", BAD, "empty answer", id="number"),
        pytest.param(one(content=None, tool_calls=[call("{}"), call("[]")]), None, None, "", id="tool calls"),
        pytest.param(one(content="", tool_calls=[call("{}")]), "{}", None, "", id="one call is the answer"),
        pytest.param(one(content="hm", tool_calls=[call("{}")]), "hm", None, "", id="call beside text"),
        pytest.param(one(content=None, tool_calls=[call("")]), None, None, "", id="call without arguments"),
        pytest.param(one(content=None, tool_calls=[call({"a": 1})]), '{"a":1}', None, "", id="arguments object"),
        pytest.param(
            one("function_call", content=None, function_call={"name": "f", "arguments": "{}"}),
            "{}",
            None,
            "",
            id="function_call",
        ),
        pytest.param(one(content="", refusal="I cannot."), "", REFUSAL, "I cannot.", id="refusal"),
        pytest.param(one("content_filter", content=""), "", FILTER, "filter", id="filtered"),
        pytest.param(one("content_filter", content="par"), "par", FILTER, "filter", id="filtered in its midst"),
        pytest.param(one("content_filter: SAFETY", content=None), None, FILTER, "filter", id="filter with a reason"),
        pytest.param(one("sensitive", content=""), "", FILTER, "filter", id="another word for it"),
        pytest.param(
            one("stop", {"content_filter_results": {"hate": {"filtered": True}}}, content=""),
            "",
            FILTER,
            "filter",
            id="azure's results",
        ),
        pytest.param(one("length", content="par"), "par", CUT, "max_tokens", id="cut"),
        pytest.param(one("length", content=""), "", CUT, "token limit", id="cut before the first word"),
        pytest.param(
            one("length", content=None, reasoning_content="hm"),
            None,
            CUT,
            "Thinking used up",
            id="thought only",
        ),
        pytest.param(one("length", content="<think>hm"), "", CUT, "Thinking used up", id="thought only, in the content"),
        pytest.param(one(content="<think>hm"), "", CUT, "Thinking", id="unclosed"),
        pytest.param(one(content="<think>hm</think>yes"), "yes", None, "", id="thought in the content"),
        pytest.param(one(content="", reasoning_content="42"), "", BAD, "inside the reasoning", id="all in reasoning"),
        pytest.param(one("error", content="par"), "par", BAD, "gave up", id="gave up"),
        pytest.param(one(content=[{"type": "text", "text": "a"}, {"type": "image"}, "b"]), "ab", None, "", id="parts"),
        pytest.param({"choices": None}, None, BAD, 'no "choices"', id="choices null"),
        pytest.param({}, None, BAD, 'no "choices"', id="choices missing"),
        pytest.param({"choices": []}, None, BAD, '"choices"', id="choices empty"),
        pytest.param({"choices": [None, 3]}, None, BAD, '"choices"', id="choices odd"),
        pytest.param({"choices": {"0": {}}}, None, BAD, '"choices"', id="choices object"),
        pytest.param({"choices": [{}]}, None, BAD, "empty", id="message missing"),
        pytest.param({"choices": [{"message": None}]}, None, BAD, "empty", id="message null"),
        pytest.param({"error": {"message": "no\nway"}}, None, BAD, "no way", id="error object"),
        pytest.param({"error": "no"}, None, BAD, "no", id="error text"),
        pytest.param({"error": {}, **one(content="yes")}, "yes", None, "", id="error empty"),
        pytest.param([], None, BAD, "object", id="list"),
        pytest.param(None, None, BAD, "object", id="null body"),
    ],
)
def test_chat(body: Any, text: str | None, problem: ErrorCode | None, words: str) -> None:
    answer = endpoint_for(CHAT).read(body)
    assert (answer.text, answer.problem) == (text, problem)
    assert words in answer.problem_text
    assert bool(answer.problem_text) is (problem is not None)


def test_reasoning_model_and_usage_are_kept_beside_the_text() -> None:
    answer = endpoint_for(CHAT).read(one(content="<think>a</think>yes"))
    assert (answer.reasoning, answer.model, answer.usage) == ("a", "m-2", Usage(8, 5, 13, None, 2))
    for field in ("reasoning", "reasoning_content"):
        assert endpoint_for(CHAT).read(one(content="yes", **{field: "b"})).reasoning == "b"
    both = one(content="", reasoning_content="everything")
    assert endpoint_for(CHAT).read(both).reasoning == "everything"


def test_the_answer_of_several_is_the_one_with_index_0() -> None:
    first = one(content="first")["choices"][0]
    second = {"index": 1, "message": {"content": ""}, "finish_reason": "length"}
    assert endpoint_for(CHAT).read({"choices": [second, first]}).text == "first"
    assert endpoint_for(CHAT).read({"choices": [second, first]}).problem is None
    assert endpoint_for(CHAT).read({"choices": [{"message": {"content": "only"}}]}).text == "only"


def test_usage_is_found_where_vendors_hide_it() -> None:
    bare = {**one(content="a"), "usage": None}
    assert endpoint_for(CHAT).read({**bare, "x_groq": {"usage": USAGE}}).usage == Usage(8, 5, 13, None, 2)
    inside = {**bare, "choices": [{**bare["choices"][0], "usage": USAGE}]}
    assert endpoint_for(CHAT).read(inside).usage == Usage(8, 5, 13, None, 2)
    assert endpoint_for(CHAT).read(bare).usage is None


def said(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(parts)}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
CALL = {"type": "function_call", "name": "f", "arguments": '{"a":1}', "call_id": "c"}


@pytest.mark.parametrize(
    ("body", "text", "problem", "words"),
    [
        (response_body("completed", [THOUGHT, said(text_part("a"), text_part("b"))]), "ab", None, ""),
        (response_body("completed", [said({"type": "refusal", "refusal": "No."})]), None, REFUSAL, "No."),
        (response_body("completed", [CALL]), '{"a":1}', None, ""),
        (response_body("completed", [CALL, CALL]), None, None, ""),
        (response_body("completed", [THOUGHT]), None, BAD, "inside the reasoning"),
        (response_body("completed", []), None, BAD, "empty"),
        (response_body("queued", []), None, BAD, "queued"),
        (response_body("failed", [], error={"code": "x", "message": "broke"}), None, BAD, "broke"),
        (response_body("cancelled", [said(text_part("a"))]), "a", BAD, "gave up"),
        (
            response_body("incomplete", [said(text_part("a"))], incomplete_details={"reason": "max_output_tokens"}),
            "a",
            CUT,
            "token limit",
        ),
        (
            response_body("incomplete", [THOUGHT], incomplete_details={"reason": "max_output_tokens"}),
            None,
            CUT,
            "Thinking",
        ),
        (
            response_body("incomplete", [], incomplete_details={"reason": "content_filter"}),
            None,
            FILTER,
            "filter",
        ),
        (response_body("incomplete", [said(text_part("a"))]), "a", CUT, "incomplete"),
        ({"output": None}, None, BAD, "empty"),
        ([], None, BAD, "object"),
    ],
)
def test_responses(body: Any, text: str | None, problem: ErrorCode | None, words: str) -> None:
    answer = endpoint_for("/v1/responses").read(body)
    assert (answer.text, answer.problem) == (text, problem)
    assert words in answer.problem_text


@pytest.mark.parametrize(
    ("choice", "text", "problem"),
    [
        ({"text": "a", "finish_reason": "stop"}, "a", None),
        ({"text": "a", "finish_reason": "length"}, "a", CUT),
        ({"text": "", "finish_reason": "stop"}, "", BAD),
        ({"text": "", "finish_reason": "content_filter"}, "", FILTER),
        ({"text": "<think>a", "finish_reason": "length"}, "", CUT),
        ({"text": "<think>a</think>b"}, "b", None),
        ({"text": "<think>a</think>"}, "", BAD),
        ({}, "", BAD),
    ],
)
def test_completions(choice: Any, text: str, problem: ErrorCode | None) -> None:
    answer = endpoint_for("/v1/completions").read({"choices": [choice]})
    assert (answer.text, answer.problem) == (text, problem)


VECTOR = {"index": 0, "embedding": [0.1, 0.2], "object": "embedding"}


@pytest.mark.parametrize(
    ("url", "body", "usage", "problem"),
    [
        (
            "embeddings",
            {"data": [VECTOR], "usage": {"prompt_tokens": 4, "total_tokens": 4}},
            Usage(4, 0, 4),
            None,
        ),
        ("embeddings", {"data": [{"embedding": "AAAA"}]}, None, None),
        ("embeddings", {"data": [VECTOR, {"embedding": None}]}, None, BAD),
        ("embeddings", {"data": [VECTOR, {"embedding": []}]}, None, BAD),
        ("embeddings", {"data": []}, None, BAD),
        ("embeddings", {"data": None, "code": 1}, None, BAD),
        ("embeddings", {"error": {"message": "x"}}, None, BAD),
        ("moderations", {"results": [{"flagged": False}]}, None, None),
        ("moderations", {"results": [{}]}, None, BAD),
        (
            "rerank",
            {"results": [{"index": 0}], "meta": {"tokens": {"input_tokens": 9}}},
            Usage(9, 0, 9),
            None,
        ),
        ("rerank", {"results": [{"index": 0}], "usage": {"total_tokens": 9}}, Usage(9, 0, 9), None),
        ("rerank", {"results": [0.5]}, None, BAD),
        ("score", {"data": [{"index": 0, "score": 0.5}]}, None, None),
        ("images/generations", {"data": [{"b64_json": "AA"}]}, None, None),
        ("images/generations", {"images": [{"url": "u"}]}, None, None),
        ("images/generations", {"data": [{"revised_prompt": "x"}]}, None, BAD),
    ],
)
def test_endpoints_with_a_list_of_results(url: str, body: Any, usage: Usage | None, problem: ErrorCode | None) -> None:
    answer = endpoint_for(f"/v1/{url}").read(body)
    assert (answer.usage, answer.problem, answer.text) == (usage, problem, None)


def test_a_reranker_is_asked_for_by_its_model() -> None:
    rerank = endpoint_for("/v1/rerank")
    assert "model" in (rerank.check({"query": "a", "documents": ["b"]}) or "")
    assert rerank.check({"model": "m", "query": "a", "documents": ["b"]}) is None
