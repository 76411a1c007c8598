"""Recorded-style whole replies of many servers, for tests that cut them at every byte.

A `Body` knows what it says and from which length on it is complete: shorter prefixes prove nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .builders import chat_body, dumps, json_reply
from .steps import JSON_TYPE, Step
from .streams import STREAMS, Stream

__all__ = ["BODIES", "STREAMS", "Body", "Stream"]


@dataclass(frozen=True, slots=True)
class Body:
    """A whole JSON reply; content, reasoning and finish of choice 0, usage as (prompt, completion)."""

    name: str
    raw: bytes
    content: str | None
    finish: str = "stop"
    reasoning: str | None = None
    usage: tuple[int, int] | None = (12, 7)

    @property
    def complete_from(self) -> int:
        """The least prefix that is the whole value; only white space may follow."""
        return len(self.raw.rstrip())

    @property
    def step(self) -> Step:
        """The reply with a Content-Length."""
        return Step(headers=JSON_TYPE, body=(self.raw,))


USED = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
FILTERS = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
TOOL = {"id": "call_9", "type": "function", "function": {"name": "save", "arguments": '{"city": "Köln"}'}}
LOGPROB = {
    "token": "Yes",
    "logprob": -0.31,
    "bytes": [89, 101, 115],
    "top_logprobs": [{"token": "No", "logprob": -2.5}],
}


def _said(name: str, content: str | None, finish: str = "stop", reasoning: str | None = None, **body: Any) -> Body:
    value = chat_body(content, finish_reason=finish, **{"usage": USED, **body})
    return Body(name, dumps(value), content, finish, reasoning)


def _choice(index: int, content: str, finish: str = "stop", **extra: Any) -> Mapping[str, object]:
    message = {"role": "assistant", "content": content}
    return {"index": index, "message": message, "finish_reason": finish, **extra}


def _hosted() -> list[Body]:
    details = {
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    azure: dict[str, Any] = {"content_filter_results": FILTERS}
    thought = "The user greets me."
    cached = {**USED, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 4}
    refused = {"refusal": "I can't help with that."}
    return [
        _said(
            "openai",
            "Hello!",
            usage={**USED, **details},
            service_tier="default",
            system_fingerprint="fp_44709d",
        ),
        _said("openai-tool-calls", None, "tool_calls", message={"tool_calls": [TOOL]}),
        _said("openai-refusal", None, message=refused),
        _said("openai-length", '{"city": "K', "length"),
        _said("openai-n2", "Hello!", choices=[_choice(0, "Hello!"), _choice(1, "Hi!")]),
        _said("openai-logprobs", "Yes", choices=[_choice(0, "Yes", logprobs={"content": [LOGPROB]})]),
        _said("azure", "Hello!", choices=[_choice(0, "Hello!", **azure)], prompt_filter_results=[azure]),
        _said("azure-content-filter", "", "content_filter"),
        _said("dashscope", "你好！有什么可以帮您？", model="qwen-plus", system_fingerprint=None),
        _said("siliconflow", "Bonjour", reasoning=thought, message={"reasoning_content": thought}),
        _said(
            "deepseek-reasoner",
            "Hi.",
            reasoning=thought,
            message={"reasoning_content": thought},
            usage=cached,
        ),
        _said("openrouter", "Hi.", provider="Azure", message={"reasoning": None, "refusal": None}),
        _said("groq", "Hi.", x_groq={"id": "req_01"}, usage={**USED, "queue_time": 0.018, "total_time": 0.2}),
        _said("modelscope-json", '{"a": [1, 2, {"b": "}"}]}', model="Qwen/Qwen3-32B"),
    ]


def _local() -> list[Body]:
    thought = "Greeting; answer briefly."
    vllm: dict[str, Any] = {
        "message": {"reasoning": thought, "tool_calls": []},
        "prompt_logprobs": None,
        "kv_transfer_params": None,
    }
    return [
        _said("vllm-reasoning", "Hello.", reasoning=thought, **vllm),
        _said("sglang", "Hello.", metadata={"weight_version": "default"}),
        _said("ollama", "Hello.", model="llama3.2:1b", system_fingerprint="fp_ollama"),
        _said("llama-cpp", "Hello.", timings={"prompt_n": 12, "predicted_per_second": 91.0737}),
        _said("think-tag", "<think>\nShort.\n</think>\n\nHello.", model="qwen3:8b"),
    ]


def _odd_bytes() -> list[Body]:
    text = 'Zeile\u2028zwei\r\n\t"quote" \\ 🙂'
    value = chat_body(text, usage=USED)
    plain = chat_body("Hello.", usage=USED)
    return [
        Body("escaped", dumps(value), text),
        Body("utf-8", json.dumps(value, ensure_ascii=False).encode(), text),
        Body("pretty-crlf", json.dumps(plain, indent=2).replace("\n", "\r\n").encode() + b"\r\n", "Hello."),
        Body("deepseek-blank-lines", b"\n\n\n\n" + dumps(plain), "Hello."),
        Body("no-usage", dumps({key: plain[key] for key in plain if key != "usage"}), "Hello.", usage=None),
    ]


BODIES: Mapping[str, Body] = {body.name: body for body in (*_hosted(), *_local(), *_odd_bytes())}

EMBEDDING = json_reply(
    {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0023, -0.0093, 0.0157]}],
        "model": "test-embedding",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }
)
"""A whole embeddings reply, for scripts that answer more than chat."""
