"""`/v1/embeddings` (platform.openai.com/docs/api-reference/embeddings): `{"data": [{"index", "embedding"}],
"usage"}`.

A vector is a list of numbers, or base64 text where the request asked for that.
"""

from __future__ import annotations

from batchllm.endpoints.plain import Plain, has

# vLLM and DashScope also take "messages" or "contents" here, for models that embed more than text.
ENDPOINT = Plain(
    path="/v1/embeddings",
    needs=(("input", "messages", "contents"),),
    holds=("data",),
    sound=has("embedding"),
)
