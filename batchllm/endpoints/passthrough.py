"""Paths whose replies are kept as they are: we only see to it that there are results, and read what they
cost.

Rerank: `{"results": [{"index", "relevance_score"}], "usage" | "meta"}` (Jina, SiliconFlow, vLLM). Score:
`{"data": [{"index", "score"}], "usage"}` (docs.vllm.ai, "Score API"). Images: `{"data": [{"url" |
"b64_json"}]}` (OpenAI), `{"images": [{"url"}]}` (SiliconFlow).
"""

from __future__ import annotations

from batchllm.endpoints.plain import Plain, has, is_object

RERANK = Plain(
    path="/v1/rerank",
    needs=(("query",), ("documents", "texts")),
    holds=("results", "data"),
    sound=is_object,
)

SCORE = Plain(
    path="/v1/score",
    needs=(("text_1", "queries", "data_1"), ("text_2", "documents", "data_2", "items")),
    holds=("data", "scores"),
    sound=is_object,
)

IMAGES = Plain(
    path="/v1/images/generations",
    needs=(("prompt",),),
    holds=("data", "images"),
    sound=has("url", "b64_json"),
    needs_model=False,
)
