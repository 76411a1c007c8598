"""Every endpoint keeps the promises of `batchllm.protocols.Endpoint`."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from batchllm import strictjson
from batchllm.endpoints import TABLE, endpoint_for
from batchllm.protocols import Endpoint
from batchllm.types import Answer
from tests.unit.endpoints.streams import USAGE, response_body

MODES = ("json_schema", "json_object", "tool", "prompt")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "u"}]}]

REQUESTS: dict[str, Any] = {
    "chat/completions": {"model": "m", "messages": MESSAGES, "tools": [{"type": "function"}]},
    "responses": {"model": "m", "input": MESSAGES, "instructions": "i", "text": {"verbosity": "low"}},
    "completions": {"model": "m", "prompt": ["a", "b"]},
    "embeddings": {"model": "m", "input": ["a", "b"]},
    "moderations": {"input": "a"},
    "rerank": {"model": "m", "query": "q", "documents": ["a", "b"]},
    "score": {"model": "m", "text_1": "a", "text_2": ["b"]},
    "images/generations": {"prompt": "a"},
}

PART = {"type": "output_text", "text": "yes", "annotations": []}
SAID = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [PART]}
REPLIES: dict[str, tuple[Any, Any]] = {
    "chat/completions": (
        ChatCompletion,
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
            "usage": USAGE,
        },
    ),
    "responses": (Response, response_body("completed", [SAID])),
    "completions": (
        Completion,
        {
            "id": "x",
            "object": "text_completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "text": "yes", "finish_reason": "stop", "logprobs": None}],
            "usage": USAGE,
        },
    ),
    "embeddings": (
        CreateEmbeddingResponse,
        {
            "object": "list",
            "model": "m",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        },
    ),
    "moderations": (ModerationCreateResponse, {"id": "x", "model": "m", "results": [{"flagged": False}]}),
    "rerank": (None, {"results": [{"index": 0, "relevance_score": 0.5}]}),
    "score": (None, {"data": [{"index": 0, "score": 0.5}]}),
    "images/generations": (ImagesResponse, {"created": 1, "data": [{"url": "u"}]}),
}

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
NAMES = st.sampled_from(
    [
        "choices",
        "message",
        "content",
        "text",
        "type",
        "index",
        "finish_reason",
        "refusal",
        "tool_calls",
        "function",
        "arguments",
        "function_call",
        "reasoning_content",
        "reasoning",
        "usage",
        "error",
        "output",
        "status",
        "incomplete_details",
        "summary",
        "data",
        "embedding",
        "results",
        "content_filter_results",
        "filtered",
        "model",
        "role",
        "messages",
        "input",
        "prompt",
        "tools",
        "instructions",
        "response_format",
        "format",
    ]
)
WORDS = st.sampled_from(["stop", "length", "content_filter", "<think>", "message", "reasoning", "json", "system"])
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=6),
    max_leaves=25,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=6)

every = pytest.mark.parametrize("name", TABLE)


def endpoint(name: str) -> Endpoint:
    return endpoint_for(f"/v1/{name}")


def test_every_endpoint_has_its_examples() -> None:
    assert set(REQUESTS) == set(REPLIES) == set(TABLE)


@every
@given(body=JSON)
def test_reading_never_raises(name: str, body: Any) -> None:
    answer = endpoint(name).read(body)
    assert isinstance(answer, Answer)
    assert bool(answer.problem) is bool(answer.problem_text)
    assert answer.text is None or isinstance(answer.text, str)


@every
@given(body=JSON)
def test_a_reply_is_read_the_same_after_it_was_written_and_read_again(name: str, body: Any) -> None:
    again = strictjson.loads(strictjson.dumps(body))
    assert endpoint(name).read(again) == endpoint(name).read(strictjson.loads(strictjson.dumps(again)))


@every
@given(body=OBJECTS, mode=st.sampled_from(MODES), text=st.none() | st.text())
def test_a_body_is_never_changed_in_place(name: str, body: Any, mode: str, text: str | None) -> None:
    this, before, schema = endpoint(name), copy.deepcopy(body), copy.deepcopy(SCHEMA)
    asked = this.with_schema(body, "s", schema, mode)
    again = this.with_reask(asked, Answer(text=text), "no")
    this.check(body)
    this.prompt_text(again)
    assert repr(body) == repr(before)
    assert asked is not body
    assert again is not asked
    assert schema == SCHEMA


@every
@pytest.mark.parametrize("mode", MODES)
def test_a_body_that_can_be_sent_still_can_once_a_schema_is_asked_for_twice(name: str, mode: str) -> None:
    this, body, before = endpoint(name), REQUESTS[name], copy.deepcopy(REQUESTS[name])
    asked = this.with_schema(body, "s", SCHEMA, mode)
    again = this.with_reask(asked, Answer(text="{}"), "no")
    assert [this.check(sent) for sent in (body, asked, again)] == [None, None, None]
    assert body == before
    assert {*body} <= {*asked}


@every
def test_a_prompt_has_text(name: str) -> None:
    assert endpoint(name).prompt_text(REQUESTS[name])
    assert endpoint(name).prompt_text({}) == ""


@every
@given(body=OBJECTS)
def test_an_odd_request_gets_a_sentence(name: str, body: Any) -> None:
    fault = endpoint(name).check(body)
    assert fault is None or fault.endswith(".")


@every
def test_a_reply_loads_as_the_type_users_annotate_with_and_is_an_answer(name: str) -> None:
    kind, body = REPLIES[name]
    if kind is not None:
        kind.construct(**body)
    if kind is not None and name != "moderations":
        kind.model_validate(body)
    assert endpoint(name).read(body).problem is None


@every
def test_a_reply_in_one_piece_passes_any_assembler(name: str) -> None:
    _, body = REPLIES[name]
    data, assembler = strictjson.dumps(body), endpoint(name).assembler(REQUESTS[name])
    for at in range(len(data)):
        assert not assembler.finished
        assert assembler.feed(data[at : at + 1]) is (data[at : at + 1] != b" ")
    assert assembler.finished
    assert assembler.body() == body


@every
def test_a_paths_name_is_its_path(name: str) -> None:
    this = endpoint(name)
    assert this.path == f"/v1/{name}"
    assert isinstance(this.streams, bool)


def test_what_generates_text_streams() -> None:
    endpoints: list[Endpoint] = [endpoint(name) for name in TABLE]
    assert {this.path for this in endpoints if this.streams} == {
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/completions",
    }
