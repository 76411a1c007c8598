"""What is refused before the first request, and what only earns a warning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.preflight import WATCHED, Preflight, Terms, findings, settings_findings
from batchllm.providers import provider
from batchllm.types import Request

CHAT = "/v1/chat/completions"
JSON = {"response_format": {"type": "json_object"}}
SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}}


def asked(url: str = CHAT, *, line: int = 1, schema: str | None = None, prompt: str = "hi", **body: Any) -> Request:
    content = {"input": prompt} if not url.endswith("completions") else {"messages": [{"role": "user", "content": prompt}]}
    return Request(line, f"line-{line}", url, {"model": "m", **content, **body}, "", schema=schema)


def rules(request: Request, name: str = "custom", **terms: Any) -> dict[str, str]:
    return {one.rule: one.severity for one in findings(request, Terms(provider(name), **terms))}


@pytest.mark.parametrize(
    ("name", "request_", "terms", "rule"),
    [
        ("dashscope", asked(enable_thinking=True), {}, "thinking_needs_stream"),
        ("modelscope", asked(chat_template_kwargs={"enable_thinking": True}), {}, "thinking_needs_stream"),
        ("modelscope", asked(chat_template_kwargs={"thinking": True}), {"stream": False}, "thinking_needs_stream"),
        ("dashscope", asked(thinking={"type": "enabled"}), {}, "thinking_needs_stream"),
        ("dashscope", asked(enable_thinking=True, stream=False), {"stream": True}, "thinking_needs_stream"),
        ("dashscope", asked(enable_thinking=True, stream=True, prompt="json", **JSON), {}, "json_excludes_thinking"),
        ("dashscope", asked(enable_thinking=True, stream=True), {"default_schema": True}, "json_excludes_thinking"),
        ("dashscope", asked(enable_thinking=True, stream=True, schema="x"), {}, "json_excludes_thinking"),
        ("openai", asked(**JSON), {}, "json_needs_word"),
        ("deepseek", asked(prompt="give me an object", **JSON), {}, "json_needs_word"),
        ("openai", asked("/v1/responses", text={"format": {"type": "json_object"}}), {}, "json_needs_word"),
        ("custom", asked(max_tokens=100, thinking_budget=1000), {}, "thinking_budget"),
        ("siliconflow", asked(max_completion_tokens=9, chat_template_kwargs={"thinking_budget": 10}), {}, "thinking_budget"),
        ("custom", asked(max_tokens=100, thinking={"type": "enabled", "budget_tokens": 101}), {}, "thinking_budget"),
        ("custom", asked(stream_options={"include_usage": True}), {}, "stream_options"),
        ("custom", asked("/v1/embeddings", stream=True), {}, "no_stream"),
        ("custom", asked("/v1/embeddings", schema="x"), {}, "no_schema"),
        ("custom", asked("/v1/rerank", **SCHEMA), {}, "no_schema"),
    ],
)  # fmt: skip
def test_a_request_known_to_fail_is_an_error(name: str, request_: Request, terms: dict[str, Any], rule: str) -> None:
    assert rules(request_, name, **terms) == {rule: "error"}


@pytest.mark.parametrize(
    ("name", "request_", "terms"),
    [
        ("dashscope", asked(), {}),
        ("dashscope", asked(enable_thinking=True, stream=True), {}),
        ("dashscope", asked(enable_thinking=True), {"stream": True}),
        ("dashscope", asked(enable_thinking=False, prompt="json", **JSON), {}),
        ("dashscope", asked(enable_thinking=True, stream=True), {"default_schema": True, "mode": "prompt"}),
        ("vllm", asked(chat_template_kwargs={"enable_thinking": True}, **JSON), {}),
        ("openai", asked(prompt="answer in JSON", **JSON), {}),
        ("openai", asked("/v1/responses", prompt="as json", text={"format": {"type": "json_object"}}), {}),
        ("openai", asked(**SCHEMA), {}),
        ("custom", asked(max_tokens=1000, thinking_budget=1000), {}),
        ("custom", asked(max_tokens=10, thinking_budget=1000, enable_thinking=False), {}),
        ("custom", asked(stream_options={"include_usage": True}, stream=True), {}),
        ("custom", asked("/v1/embeddings"), {"stream": True, "default_schema": True}),
        ("custom", asked(n=4), {}),
    ],
)
def test_a_request_that_may_work_is_left_alone(name: str, request_: Request, terms: dict[str, Any]) -> None:
    assert rules(request_, name, **terms) == {}


@pytest.mark.parametrize(
    ("name", "request_", "rule"),
    [
        ("custom", asked(n=4, **SCHEMA), "one_of_n"),
        ("dashscope", asked(model="qwen3-32b"), "thinks_by_default"),
        ("modelscope", asked(model="Qwen/Qwen3-235B-A22B"), "thinks_by_default"),
        ("dashscope", asked(max_tokens=10, thinking_budget=1000), "thinking_budget"),
    ],
)
def test_what_may_still_be_meant_is_a_warning(name: str, request_: Request, rule: str) -> None:
    assert rules(request_, name) == {rule: "warning"}


@pytest.mark.parametrize("model", ["qwen3-coder-plus", "Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen-plus", "deepseek-v3"])
def test_models_that_think_only_when_asked_earn_no_warning(model: str) -> None:
    assert rules(asked(model=model), "dashscope") == {}


def test_every_message_says_what_to_do() -> None:
    for one in findings(asked(enable_thinking=True, prompt="x", **JSON), Terms(provider("dashscope"))):
        assert any(word in one.message for word in ("set ", "say ", "take ", "raise ", "ask "))


def test_settings_that_break_every_line_are_found_without_a_line() -> None:
    found = settings_findings(CHAT, {"enable_thinking": True}, Terms(provider("dashscope")))
    assert [one.rule for one in found] == ["thinking_needs_stream"]
    assert settings_findings(CHAT, {"enable_thinking": True}, Terms(provider("dashscope"), stream=True)) == []


def test_settings_are_not_blamed_for_what_the_lines_own_messages_may_mend() -> None:
    assert settings_findings(CHAT, JSON, Terms(provider("openai"))) == []


def test_a_warning_is_counted_once_however_often_the_job_is_read() -> None:
    preflight = Preflight(Terms(provider("custom")))
    for _ in range(3):
        for line in (4, 7, 9):
            assert preflight.fault(asked(line=line, n=2, **SCHEMA)) is None
    assert preflight.warnings["one_of_n"].count == 3
    assert preflight.sentences()[0].startswith("line 4 and 2 more: ")


_KEYS = st.sampled_from(["type", "enable_thinking", "thinking_budget", "format"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYS, inner, max_size=2),
)
_FIELDS = st.sampled_from(sorted(WATCHED | {"stream", "max_tokens"}))


@given(
    st.dictionaries(_FIELDS, _VALUES),
    st.sampled_from(["dashscope", "openai", "custom"]),
    st.sampled_from([CHAT, "/v1/responses"]),
)
def test_no_body_makes_it_raise(body: dict[str, Any], name: str, url: str) -> None:
    Preflight(Terms(provider(name), default_schema=True)).fault(asked(url, **body))
