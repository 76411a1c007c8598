"""How a choice ended: every vendor's words in `finish_reason`, and what each means for the answer.

`length` and `content_filter` are OpenAI's; `model_length` is Mistral's, `sensitive` Zhipu's, `safety`
Gemini's and Together's, `insufficient_system_resource` DeepSeek's, `error` OpenRouter's, `abort` vLLM's and
SGLang's.
"""

from __future__ import annotations

from typing import Any

from batchllm.endpoints.fields import as_dict
from batchllm.errors import ErrorCode
from batchllm.types import Json

TRUNCATED = frozenset({"length", "max_tokens", "model_length", "max_output_tokens"})
FILTERED = frozenset({"content_filter", "sensitive", "safety", "prohibited_content", "recitation"})
BROKEN = frozenset({"error", "abort", "insufficient_system_resource", "network_error", "timeout", "cancelled"})

Problem = tuple[ErrorCode, str]

WITHHELD: Problem = (ErrorCode.CONTENT_FILTER, "The provider's content filter cut or withheld the answer.")
USED_UP: Problem = (
    ErrorCode.TRUNCATED,
    "Thinking used up the tokens before the answer began; raise max_tokens or limit the thinking.",
)
UNCLOSED: Problem = (
    ErrorCode.TRUNCATED,
    "The answer ends inside its reasoning: the thinking was never closed.",
)
EMPTY: Problem = (ErrorCode.BAD_RESPONSE, "The reply has an empty answer.")
ALL_REASONING: Problem = (
    ErrorCode.BAD_RESPONSE,
    "The whole answer stands inside the reasoning; the content is empty.",
)


def problem(finish: str | None) -> Problem | None:
    """What the ending alone says is wrong. A word that is not listed says nothing."""
    if finish == "stop":
        return None
    word = (finish or "").lower()
    if word in FILTERED or word.startswith("content_filter"):
        return WITHHELD
    if word in TRUNCATED:
        return ErrorCode.TRUNCATED, f"The answer was cut off at the token limit ({word}); raise max_tokens."
    if word in BROKEN:
        return ErrorCode.BAD_RESPONSE, f"The server gave up in the midst of the answer ({word})."
    return None


def filtered(choice: Json) -> bool:
    """Azure: `content_filter_results: {"violence": {"filtered": true, …}}` beside the message."""
    results: Json = as_dict(choice.get("content_filter_results"))
    return bool(results) and any(_flag(result) for result in results.values())


def _flag(result: Any) -> bool:
    return as_dict(result).get("filtered") is True
