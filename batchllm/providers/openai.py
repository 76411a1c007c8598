"""OpenAI, and OpenAI's models on Azure."""

from __future__ import annotations

from batchllm.providers import dialects
from batchllm.providers.provider import Provider

OPENAI = Provider(
    "openai", "OpenAI", "https://api.openai.com/v1", ("OPENAI_API_KEY",),
    structured="json_schema", rules=dialects.OPENAI, batch=True, json_needs_word=True, limits="x-ratelimit",
    notes=(
        "Rejected requests count against the limit too, so early retries feed it.",
        "Growing too fast is refused (slow_down) even within the limits: above 1 M tokens a minute, "
        "at most 50 % in 15 min.",
        "Tokens are admitted by the larger of max_tokens and an estimate from the characters: a "
        "tight max_tokens helps.",
    ),
    docs="openai",
)  # fmt: skip

AZURE = Provider(
    "azure", "Azure OpenAI", "", ("AZURE_OPENAI_API_KEY",),
    auth="api-key", query={"api-version": "2024-10-21"}, url_style="azure-deployments",
    structured="json_schema", rules=dialects.AZURE, batch=True, json_needs_word=True, limits="x-ratelimit",
    notes=(
        "base_url is the resource (https://NAME.openai.azure.com), model the name of the deployment.",
        "A base_url that ends in /openai/v1 uses the newer API, where model stands in the body.",
        "A filtered prompt is an error 400; a filtered answer is a 200 with finish_reason content_filter.",
        "The key is sent as `api-key`, which HTTP clients do not strip on redirects: none is followed.",
        "Limits are checked over 1 s or 10 s, and estimate with max_tokens and best_of.",
    ),
    docs="azure",
)  # fmt: skip
