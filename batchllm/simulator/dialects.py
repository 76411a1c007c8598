"""What differs between endpoints that all call themselves OpenAI-compatible: one row each.

The rows follow the vendors' documentation and bug reports of other clients; only those of vLLM and transformers
were held against a live server (docs/servers.md). A wrong row is mended here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from batchllm.simulator import refusals, wordings
from batchllm.simulator.refusals import STANDARD, Kind, Refusal, Shape

RateHeaders = Literal["openai", "azure", "modelscope", "none"]
ReasoningShape = Literal["hidden", "reasoning_content", "reasoning", "think"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One provider's way of speaking; the defaults are OpenAI's."""

    name: str
    error_shape: Shape = refusals.openai_shape
    words: Mapping[Kind, Refusal] = field(default_factory=dict)
    """Refusals worded otherwise than OpenAI's."""
    rate_headers: RateHeaders = "openai"
    retry_after: bool = True
    """429 and 503 come with `Retry-After` (whole seconds) and, where `retry_after_ms`, that header too."""
    retry_after_ms: bool = True
    reasoning: ReasoningShape = "hidden"
    """Where the thoughts go when a request asks for thinking; hidden: counted, not shown."""
    request_id_header: str | None = "x-request-id"
    """None: a request gets no id that is told."""
    key_header: str = "authorization"
    empty_first_chunk: bool = False
    """Azure: a stream starts with a chunk whose `choices` is empty."""
    content_filter_results: bool = False
    """Azure: verdicts stand beside every choice, a filtered prompt is refused with 400."""
    comment: str | None = None
    """An SSE comment before the first chunk and now and then between chunks."""
    blank_lines: bool = False
    """DeepSeek: blank lines before a body without `stream`, to keep the connection alive."""
    json_word_rule: bool = False
    """400 where `response_format` is `json_object` and no message says "json"."""
    thinking_needs_stream: bool = False
    """400 where `enable_thinking` is set without `stream`."""
    cache_usage: Literal["details", "deepseek", "null", "none"] = "details"
    """How cached prompt tokens and thoughts are told; `null` and `none`: not at all."""
    stream_usage: Literal["asked", "every_chunk", "finish"] = "asked"
    """Where a stream's usage stands: in a chunk of its own where it was asked for, or always, and where."""
    done_marker: bool = True
    """A stream ends with `[DONE]`."""
    streams_responses: bool = False
    """`/v1/responses` streams unless told not to."""
    formats: bool = True
    """`response_format` holds the answer to its schema; otherwise it is taken and ignored."""
    several: bool = True
    """`n` answers are given; otherwise one, whatever `n` says."""
    usage_options_for_responses: bool = True
    """`stream_options.include_usage` on `/v1/responses` is ignored; otherwise 400."""


def _rows(*rows: Dialect) -> dict[str, Dialect]:
    return {row.name: row for row in rows}


DIALECTS: Mapping[str, Dialect] = _rows(
    Dialect("openai", json_word_rule=True, usage_options_for_responses=False),
    Dialect(
        "azure",
        error_shape=refusals.azure_shape,
        words=wordings.AZURE,
        rate_headers="azure",
        request_id_header="apim-request-id",
        key_header="api-key",
        empty_first_chunk=True,
        content_filter_results=True,
        json_word_rule=True,
        usage_options_for_responses=False,
    ),
    Dialect(
        "dashscope",
        error_shape=refusals.dashscope_shape,
        words=wordings.DASHSCOPE,
        rate_headers="none",
        retry_after=False,
        retry_after_ms=False,
        reasoning="reasoning_content",
        json_word_rule=True,
        thinking_needs_stream=True,
    ),
    Dialect(
        "siliconflow",
        error_shape=refusals.siliconflow_shape,
        words=wordings.SILICONFLOW,
        stream_usage="every_chunk",
        rate_headers="none",
        retry_after=False,
        retry_after_ms=False,
        reasoning="reasoning_content",
    ),
    Dialect(
        "modelscope",
        error_shape=refusals.modelscope_shape,
        words=wordings.MODELSCOPE,
        rate_headers="modelscope",
        retry_after_ms=False,
        reasoning="reasoning_content",
        thinking_needs_stream=True,
    ),
    Dialect(
        "deepseek",
        words=wordings.DEEPSEEK,
        rate_headers="none",
        retry_after=False,
        retry_after_ms=False,
        reasoning="reasoning_content",
        comment="keep-alive",
        blank_lines=True,
        json_word_rule=True,
        cache_usage="deepseek",
    ),
    Dialect(
        "openrouter",
        error_shape=refusals.openrouter_shape,
        words=wordings.OPENROUTER,
        retry_after_ms=False,
        reasoning="reasoning",
        comment="OPENROUTER PROCESSING",
    ),
    Dialect(
        "ollama",
        words=wordings.OLLAMA,
        rate_headers="none",
        retry_after=False,
        retry_after_ms=False,
        reasoning="reasoning",
        cache_usage="none",
    ),
    Dialect(
        "vllm",
        error_shape=refusals.vllm_shape,
        words=wordings.VLLM,
        rate_headers="none",
        retry_after=False,
        retry_after_ms=False,
        reasoning="reasoning",
        request_id_header=None,
        cache_usage="null",
    ),
    Dialect(
        "transformers",
        error_shape=refusals.detail_shape,
        words=wordings.TRANSFORMERS,
        rate_headers="none",
        retry_after=False,
        retry_after_ms=False,
        reasoning="think",
        cache_usage="none",
        stream_usage="finish",
        done_marker=False,
        streams_responses=True,
        formats=False,
        several=False,
    ),
)


def refusal(dialect: Dialect, kind: Kind) -> Refusal:
    """How the dialect words this kind of refusal."""
    return dialect.words.get(kind) or STANDARD[kind]
