"""Hosted endpoints and routers elsewhere."""

from __future__ import annotations

from batchllm.providers import dialects
from batchllm.providers.provider import Provider

OPENROUTER = Provider(
    "openrouter", "OpenRouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",),
    structured="json_schema", rules=dialects.OPENROUTER, limits="x-ratelimit",
    notes=(
        "Once generation has begun the status is 200: errors then stand in the body, or in choices[0].error.",
        "402 with Retry-After is a budget in flight and passes; without it the credit is used up.",
        "Streams carry comments (`: OPENROUTER PROCESSING`), which are no payload.",
        "What response_format a model takes depends on the provider behind it.",
    ),
    docs="openrouter",
)  # fmt: skip

GROQ = Provider(
    "groq", "Groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",), json_needs_word=True, batch=True,
    limits="x-ratelimit",
    notes=(
        "x-ratelimit-*-requests counts a day, x-ratelimit-*-tokens a minute.",
        "A single request above the tokens of a minute is refused for good (413).",
        "json_schema is taken by some models only; json_object is used.",
    ),
    docs="groq",
)  # fmt: skip

TOGETHER = Provider(
    "together", "Together AI", "https://api.together.xyz/v1", ("TOGETHER_API_KEY",),
    structured="json_schema", batch=True, limits="x-ratelimit",
    notes=("The batch API serves chat completions only.", "Unverified: which models take json_schema."),
    docs="together",
)  # fmt: skip

MISTRAL = Provider(
    "mistral", "Mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",),
    structured="json_schema", stream_usage=False,
    notes=(
        "Unknown fields are refused (422), stream_options among them: it is not sent, the last chunk "
        "has usage anyway.",
        "A seed is called random_seed here.",
        "The batch API has a line format of its own.",
    ),
    docs="mistral",
)  # fmt: skip

GEMINI = Provider(
    "gemini", "Google Gemini (OpenAI-compatible)", "https://generativelanguage.googleapis.com/v1beta/openai",
    ("GEMINI_API_KEY", "GOOGLE_API_KEY"), structured="json_schema", rules=dialects.GEMINI, limits="none",
    notes=(
        "Errors come wrapped in an array; the wait stands in the text and in RetryInfo.",
        "Counts of a day start anew at midnight Pacific time; `limit: 0` means the plan does not "
        "include the model.",
        "Unverified: which JSON schema keywords are taken.",
    ),
    docs="gemini",
)  # fmt: skip
