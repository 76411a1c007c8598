"""Addresses, key headers, guesses and rows out of the settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.errors import ErrorCode
from batchllm.providers import auth_headers, guess, names, provider, provider_from, request_url
from batchllm.types import Kind

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("name", "base", "path", "url"),
    [
        ("openai", "https://api.openai.com/v1", CHAT, "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com/v1/", CHAT, "https://api.openai.com/v1/chat/completions"),
        ("openai", "", CHAT, "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com", CHAT, "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com/v1", "/v1/embeddings", "https://api.openai.com/v1/embeddings"),
        ("openai", "https://api.openai.com/v1", "/chat/completions",
         "https://api.openai.com/v1/chat/completions"),
        ("custom", "http://localhost:8000", CHAT, "http://localhost:8000/v1/chat/completions"),
        ("custom", "http://localhost:8000", "/chat/completions", "http://localhost:8000/v1/chat/completions"),
        ("custom", "http://[::1]:8000/v1", CHAT, "http://[::1]:8000/v1/chat/completions"),
        ("custom", "https://models.example/inference", CHAT, "https://models.example/inference/chat/completions"),
        ("custom", "https://x.example/v1/chat/completions", CHAT, "https://x.example/v1/chat/completions"),
        ("custom", "https://x.example/v1?tenant=a&b=", CHAT, "https://x.example/v1/chat/completions?tenant=a&b="),
        ("zhipu", "https://open.bigmodel.cn/api/paas/v4", CHAT, "https://open.bigmodel.cn/api/paas/v4/chat/completions"),
        ("zhipu", "https://open.bigmodel.cn/api/paas/v4", "/v4/chat/completions",
         "https://open.bigmodel.cn/api/paas/v4/chat/completions"),
        ("volcengine", "", CHAT, "https://ark.cn-beijing.volces.com/api/v3/chat/completions"),
        ("gemini", "", CHAT, "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"),
        ("deepseek", "", CHAT, "https://api.deepseek.com/v1/chat/completions"),
        ("azure", "https://r.openai.azure.com", CHAT,
         "https://r.openai.azure.com/openai/deployments/my%2Fm/chat/completions?api-version=2024-10-21"),
        ("azure", "https://r.openai.azure.com/openai/", "/chat/completions",
         "https://r.openai.azure.com/openai/deployments/my%2Fm/chat/completions?api-version=2024-10-21"),
        ("azure", "https://r.openai.azure.com?api-version=2025-01-01", CHAT,
         "https://r.openai.azure.com/openai/deployments/my%2Fm/chat/completions?api-version=2025-01-01"),
        ("azure", "https://r.openai.azure.com/openai/deployments/d", CHAT,
         "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"),
        ("azure", "https://r.openai.azure.com/openai/v1/", CHAT, "https://r.openai.azure.com/openai/v1/chat/completions"),
        ("azure", "https://r.openai.azure.com", "/v1/responses",
         "https://r.openai.azure.com/openai/responses?api-version=2024-10-21"),
    ],
)  # fmt: skip
def test_base_and_path_join(name: str, base: str, path: str, url: str) -> None:
    assert request_url(provider(name), base, path, "my/m") == url


@pytest.mark.parametrize(
    "base", ["", "localhost:8000", "ftp://x.example", "https://", "https:///v1", "https://u:p@x.example", "http://[bad"]
)
def test_an_address_that_is_none_is_refused_without_echo(base: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        request_url(provider("custom"), base, CHAT, "m")
    assert "u:p" not in str(caught.value)


def test_azure_needs_a_deployment() -> None:
    with pytest.raises(ValueError, match="deployment"):
        request_url(provider("azure"), "https://r.openai.azure.com", CHAT, "")


def test_a_model_cannot_leave_its_place_in_the_address() -> None:
    url = request_url(provider("azure"), "https://r.openai.azure.com", CHAT, "../../x?y#z")
    assert "/deployments/..%2F..%2Fx%3Fy%23z/chat" in url


def test_the_key_goes_into_one_header() -> None:
    assert auth_headers(provider("openai"), " sk-1 \n") == {"Authorization": "Bearer sk-1"}
    assert auth_headers(provider("azure"), "k") == {"api-key": "k"}
    assert auth_headers(provider("simulator"), "k") == {}
    assert auth_headers(provider("vllm"), None) == auth_headers(provider("vllm"), "") == {}


@pytest.mark.parametrize("key", ["sk-1\r\nX-Evil: 1", "sk 1", "sk-“1”", "sk-\x00"])
def test_a_key_that_is_none_is_refused_without_echo(key: str) -> None:
    with pytest.raises(ValueError, match="the key holds") as caught:
        auth_headers(provider("openai"), key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("https://api.openai.com/v1", "openai"), ("https://API.OpenAI.com.", "openai"),
        ("https://my.openai.azure.com", "azure"), ("https://dashscope.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope-intl"),
        ("https://ws.cn-beijing.maas.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://ws.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1", "dashscope-intl"),
        ("https://api.siliconflow.com/v1", "siliconflow"), ("https://api-inference.modelscope.cn/v1", "modelscope"),
        ("https://api.deepseek.com", "deepseek"), ("https://open.bigmodel.cn/api/paas/v4", "zhipu"),
        ("https://api.moonshot.ai/v1", "moonshot"), ("https://ark.cn-beijing.volces.com/api/v3", "volcengine"),
        ("https://openrouter.ai/api/v1", "openrouter"), ("https://api.groq.com/openai/v1", "groq"),
        ("http://localhost:11434/v1", "ollama"), ("http://[::1]:1234", "lmstudio"), ("http://127.0.0.1:8000/v1", None),
        ("https://api.openai.com.evil.example/v1", None), ("https://evilapi.openai.com.example", None),
        ("https://notopenrouter.ai", None), ("http://gpu7:11434/v1", None), ("", None), ("http://[bad", None),
        ("http://localhost:99999999", None),
    ],
)  # fmt: skip
def test_a_known_host_is_recognised(base: str, name: str | None) -> None:
    assert guess(base) == name


@given(st.text())
def test_guessing_never_raises(text: str) -> None:
    assert guess(text) in (None, *names())
    assert guess("https://" + text) in (None, *names())


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'deepseek'"):
        provider("deepseak")
    with pytest.raises(KeyError, match="it is one of openai"):
        provider("zzzzzz")
    assert provider(" OpenAI ").name == "openai"


def test_a_row_of_ones_own() -> None:
    made = provider_from("gpu7", {"base_url": "http://gpu7:8000/v1", "structured": "json_schema", "max_concurrency": 64})
    assert (made.name, made.title, made.key_env, made.auth) == ("gpu7", "gpu7", (), "bearer")
    assert (made.structured, made.max_concurrency, made.rules) == ("json_schema", 64, ())


def test_a_row_inherits_with_like_and_from_its_own_name() -> None:
    row = {"like": "dashscope", "base_url": "https://x.example/v1", "key_env": "X_KEY", "notes": ["ours"]}
    made = provider_from("mine", row)
    assert made.rules == provider("dashscope").rules
    assert made.json_needs_word
    assert (made.name, made.key_env, made.notes) == ("mine", ("X_KEY",), ("ours",))
    assert provider_from("vllm", {"base_url": "http://gpu7:8000/v1"}).structured == provider("vllm").structured


def test_every_habit_is_inherited_whatever_the_row_is_called() -> None:
    mine, its = provider_from("mine", {"like": "dashscope"}), provider("dashscope")
    kept = ("thinking_apart", "thinking_models", "audio_as_url", "limits", "thinking_needs_stream", "json_excludes_thinking")
    assert [getattr(mine, name) for name in kept] == [getattr(its, name) for name in kept]
    assert all(getattr(its, name) for name in kept)


def test_a_row_may_bring_rules() -> None:
    rules = [{"kind": "pause", "code": "rate_limited", "statuses": [429], "words": "closed", "message": "closed: {words}"}]
    (rule,) = provider_from("mine", {"base_url": "https://x.example", "rules": rules}).rules
    assert (rule.kind, rule.code) == (Kind.PAUSE, ErrorCode.RATE_LIMITED)
    assert rule.matches(429, frozenset(), "We are CLOSED", {})
    assert not rule.matches(500, frozenset(), "closed", {})


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"base_ulr": "https://x.example"}, "did you mean 'base_url'"),
        ({"simulated": True}, "no key 'simulated'"),
        ({"name": "x"}, "no key 'name'"),
        ({"like": "opnai"}, "did you mean 'openai'"),
        ({"base_url": "x.example"}, "base_url"),
        ({"base_url": 7}, "base_url: has to be a text"),
        ({"auth": "basic"}, "auth: has to be one of bearer"),
        ({"structured": "xml"}, "structured"),
        ({"local": "yes"}, "local: has to be true or false"),
        ({"max_concurrency": True}, "max_concurrency"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"headers": {"Authorization": "Bearer x"}}, "key_env instead"),
        ({"headers": {"X-A": "1\r\nX-B: 2"}}, "no header that can be sent"),
        ({"headers": "x"}, "headers: has to be a table"),
        ({"query": {"a": 1}}, "query: has to be a text"),
        ({"notes": 3}, "notes: has to be a list"),
        ({"limits": "some"}, "limits: has to be one of x-ratelimit"),
        ({"thinking_models": "("}, "thinking_models"),
        ({"programs": [1]}, "programs: has to be a text"),
        ({"rules": [{"kind": "nap", "code": "timeout"}]}, "rules"),
        ({"rules": [{"kind": "stop", "code": "timeout", "words": "("}]}, "rules"),
        ({"rules": [{"kind": "stop", "code": "timeout", "message": "{key}"}]}, "rules: a message may use"),
        ({"rules": [{"kind": "stop", "code": "timeout", "sleep": 1}]}, "a rule has no key 'sleep'"),
        ({"rules": [{"code": "timeout"}]}, "rules"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_refused_by_name(row: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("'", ".")):
        provider_from("mine", row)
