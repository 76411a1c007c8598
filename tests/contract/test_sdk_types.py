"""What stands in `response.body` of a record loads as the official SDK's own types: what users annotate with, they get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.e2e.simulated import EVERY, SCHEMA, Line, Outcome, perform

TYPES: dict[str, Any] = {
    "chat": ChatCompletion,
    "tool": ChatCompletion,
    "several": ChatCompletion,
    "thought": ChatCompletion,
    "responses": Response,
    "called": Response,
    "completions": Completion,
    "prompts": Completion,
    "embeddings": CreateEmbeddingResponse,
    "moderations": ModerationCreateResponse,
}
STREAMING = {name for name in TYPES if name not in ("embeddings", "moderations")}
PARAMETERS = {"name": "answer", "parameters": SCHEMA}
FORCED = {"tools": [{"type": "function", "function": PARAMETERS}], "tool_choice": "required"}
CALLED = {"tools": [{"type": "function", **PARAMETERS}], "tool_choice": "required"}


def mixed(stream: bool) -> list[Line]:
    """A line for each endpoint and each shape of its answer, in one file; streamed where the endpoint streams."""
    bodies: dict[str, tuple[str, Line]] = {
        "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Tell"}]}),
        "tool": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Label"}], **FORCED}),
        "several": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Tell"}], "n": 3}),
        "thought": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Tell"}], "reasoning_effort": "low"}),
        "responses": ("/v1/responses", {"input": "Tell", "reasoning": {"effort": "low"}}),
        "called": ("/v1/responses", {"input": "Label", **CALLED}),
        "completions": ("/v1/completions", {"prompt": "Once", "max_tokens": 60}),
        "prompts": ("/v1/completions", {"prompt": ["Once", "Twice"], "max_tokens": 60}),
        "embeddings": ("/v1/embeddings", {"input": ["a", "b"]}),
        "moderations": ("/v1/moderations", {"input": "a"}),
    }
    return [
        {
            "custom_id": name,
            "method": "POST",
            "url": url,
            "body": {**body, "stream": True} if stream and name in STREAMING else body,
        }
        for name, (url, body) in bodies.items()
    ]


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "stream"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def outcome(streamed: bool, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return perform(tmp_path_factory.mktemp("mixed"), mixed(streamed))


@pytest.fixture(scope="module")
def bodies(outcome: Outcome) -> dict[str, Any]:
    return {record["custom_id"]: record["response"]["body"] for record in outcome.results}


def test_a_job_may_mix_endpoints(outcome: Outcome) -> None:
    assert (outcome.exit_code, outcome.counts) == (0, (len(TYPES), 0, 0)), outcome.summary["failures"]
    assert outcome.stats["requests"] == len(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_a_body_loads_as_the_sdks_type(name: str, bodies: dict[str, Any]) -> None:
    kind = TYPES[name]
    loaded = kind.construct(**bodies[name]) if name == "moderations" else kind.model_validate(bodies[name])
    assert loaded.model


def test_the_loaded_types_hold_the_answers(bodies: dict[str, Any]) -> None:
    chat = ChatCompletion.model_validate(bodies["chat"])
    assert chat.choices[0].message.content
    assert chat.usage is not None
    assert chat.usage.total_tokens > 0
    calls = ChatCompletion.model_validate(bodies["tool"]).choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert len(ChatCompletion.model_validate(bodies["several"]).choices) == 3
    response = Response.model_validate(bodies["responses"])
    assert response.output_text
    assert response.usage is not None
    assert [item.type for item in Response.model_validate(bodies["called"]).output] == ["function_call"]
    assert [choice.index for choice in Completion.model_validate(bodies["prompts"]).choices] == [0, 1]
    assert len(CreateEmbeddingResponse.model_validate(bodies["embeddings"]).data) == 2


def test_only_what_streams_is_timed_to_its_first_token(outcome: Outcome, streamed: bool) -> None:
    timed = {record["custom_id"] for record in outcome.results if record["batchllm"]["ttft_s"] is not None}
    assert timed == (STREAMING if streamed else set())


@pytest.mark.parametrize("dialect", EVERY)
def test_a_body_loads_whoever_sent_it(dialect: str, tmp_path: Path) -> None:
    lines = [
        {"custom_id": f"{name}-{stream}", "prompt": "Tell", "url": f"/v1/{path}", "stream": stream, limit: 400}
        for name, path, limit in (
            ("chat", "chat/completions", "max_tokens"),
            ("responses", "responses", "max_output_tokens"),
            ("completions", "completions", "max_tokens"),
        )
        for stream in (False, True)
    ]
    outcome = perform(tmp_path, lines, dialect=dialect)
    assert (outcome.exit_code, outcome.counts) == (0, (6, 0, 0)), outcome.summary["failures"]
    for record in outcome.results:
        TYPES[record["custom_id"].split("-")[0]].model_validate(record["response"]["body"])
