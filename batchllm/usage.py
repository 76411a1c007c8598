"""What a reply says it used, whoever sent it: one normaliser over every provider's names.

Sources: OpenAI `CompletionUsage` and `ResponseUsage` (platform.openai.com/docs/api-reference), DeepSeek
(api-docs.deepseek.com/guides/kv_cache), Anthropic (docs.anthropic.com, "Prompt caching": the total input is
`input_tokens` + `cache_read_input_tokens` + `cache_creation_input_tokens`), SGLang and Moonshot (figures at
the top).
"""

from __future__ import annotations

from typing import Any

from batchllm.types import Usage

Path = tuple[str, ...]

PROMPT: tuple[Path, ...] = (("prompt_tokens",), ("input_tokens",))
COMPLETION: tuple[Path, ...] = (("completion_tokens",), ("output_tokens",))
TOTAL: tuple[Path, ...] = (("total_tokens",),)
CACHED: tuple[Path, ...] = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),
    ("cache_read_input_tokens",),
    ("cached_tokens",),
)
REASONING: tuple[Path, ...] = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("reasoning_tokens",),
)
BESIDE_INPUT = ("cache_read_input_tokens", "cache_creation_input_tokens")

ABSURD = 2**53  # the largest count a JSON number carries exactly everywhere; a figure above it is a mistake


def read_usage(raw: Any, *, generates: bool = True) -> Usage | None:
    """The tokens in a reply's `usage` object; None if it says nothing that makes sense (unknown is never
    zero).

    With `generates=False` (embeddings, reranking) there is no completion to be unknown: it counts 0, and a
    lone total is the prompt. Never raises.
    """
    if not isinstance(raw, dict):
        return None
    prompt, completion = _prompt(raw), _first(raw, COMPLETION)
    total = _first(raw, TOTAL)
    if not (prompt or completion or total):
        return None  # all zeros is how a gateway that did not count says so
    if not generates:
        completion = completion or 0
        prompt = total if prompt is None else prompt
    prompt, completion, total = _completed(prompt, completion, total)
    return Usage(prompt, completion, total, _first(raw, CACHED), _first(raw, REASONING))


def count(value: Any) -> int | None:
    """A token count: a non-negative integer, however JSON spelled it (`7`, `7.0`). Never a bool, never a
    string.
    """
    if type(value) is int:
        return value if 0 <= value < ABSURD else None
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if isinstance(value, int) and 0 <= value < ABSURD else None


def _completed(prompt: int | None, completion: int | None, total: int | None) -> tuple[int | None, int | None, int | None]:
    """The figure that follows from the other two. A difference of zero proves nothing: it stays unknown."""
    if total is None:
        if prompt is not None and completion is not None:
            total = prompt + completion
    elif completion is None and prompt is not None and total > prompt:
        completion = total - prompt
    elif prompt is None and completion is not None and total > completion:
        prompt = total - completion
    return prompt, completion, total


def _prompt(raw: dict[Any, Any]) -> int | None:
    """The whole prompt. Where `input_tokens` stands beside cache counts and no total, it leaves those out."""
    prompt = _first(raw, PROMPT)
    if "prompt_tokens" in raw or "total_tokens" in raw:
        return prompt
    beside = [count(raw.get(key)) or 0 for key in BESIDE_INPUT]
    if prompt is None:
        return None
    return prompt + sum(beside)


def _first(raw: dict[Any, Any], paths: tuple[Path, ...]) -> int | None:
    for path in paths:
        value: Any = raw.get(path[0])
        if len(path) == 2:
            value = value.get(path[1]) if isinstance(value, dict) else None
        if value is not None and (number := count(value)) is not None:
            return number
    return None
