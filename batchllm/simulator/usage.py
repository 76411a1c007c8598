"""The `usage` object of each endpoint, in the dialect's words."""

from typing import Any

from batchllm.simulator.dialects import Dialect
from batchllm.simulator.reply import Call


def cached_tokens(call: Call, prompt_tokens: int) -> int:
    """What was found in the cache of beginnings; where there is none, the share that was ordered."""
    return int(prompt_tokens * call.options.cached_share) if call.cached is None else call.cached


def chat_usage(dialect: Dialect, prompt: int, completion: int, cached: int, thought: int) -> dict[str, Any]:
    """Usage of chat completions and completions; counts are tokens, `thought` being part of `completion`."""
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if dialect.cache_usage == "none":
        return usage
    if dialect.cache_usage == "null":
        return {**usage, "prompt_tokens_details": None, "completion_tokens_details": None}
    usage["prompt_tokens_details"] = {"cached_tokens": cached}
    usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    if dialect.cache_usage == "deepseek":
        usage |= {"prompt_cache_hit_tokens": cached, "prompt_cache_miss_tokens": prompt - cached}
    return usage


def responses_usage(prompt: int, completion: int, cached: int, thought: int) -> dict[str, Any]:
    """Usage of the Responses API: the same counts under other names."""
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + completion,
    }
