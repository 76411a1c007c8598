"""Servers the user runs. Their keys are whatever the server was started with; without one none is sent."""

from __future__ import annotations

from batchllm.providers import dialects
from batchllm.providers.provider import Provider

VLLM = Provider(
    "vllm", "vLLM", "http://localhost:8000/v1", ("VLLM_API_KEY",),
    structured="json_schema", rules=dialects.VLLM, local=True, limits="none", programs=("vllm",),
    notes=(
        "Queues what it cannot run at once: concurrency may be high (100 and more).",
        "Closes idle connections after 5 s; the name of the reasoning field differs by version.",
        "An abandoned request may go on running: retrying timeouts can double the load.",
        "Tools (structured = tool) need a server started with --tool-call-parser; json_schema needs nothing.",
    ),
    docs="vllm",
)  # fmt: skip

SGLANG = Provider(
    "sglang", "SGLang", "http://localhost:30000/v1", ("SGLANG_API_KEY",),
    structured="json_schema", local=True, limits="none", programs=("sglang",),
    notes=("Queues what it cannot run at once.", "Unverified: the variable's name, which is ours."),
    docs="sglang",
)  # fmt: skip

OLLAMA = Provider(
    "ollama", "Ollama", "http://localhost:11434/v1", ("OLLAMA_API_KEY",),
    structured="json_schema", rules=dialects.OLLAMA, local=True, max_concurrency=4,
    limits="none", programs=("ollama",),
    notes=(
        "Answers 503 once its queue (OLLAMA_MAX_QUEUE) is full.",
        "The first request loads the model, which can take minutes.",
        "A prompt longer than num_ctx is cut without a word: raise OLLAMA_CONTEXT_LENGTH on the server.",
    ),
    docs="ollama",
)  # fmt: skip

LLAMACPP = Provider(
    "llamacpp", "llama.cpp (llama-server)", "http://localhost:8080/v1", ("LLAMA_API_KEY",),
    structured="json_schema", local=True, max_concurrency=4, limits="none", programs=("llama-server",),
    notes=(
        "Runs as many requests at once as it was started with (--parallel), and shares the context "
        "between them.",
        "While the model is loading every request is a 503.",
    ),
    docs="llamacpp",
)  # fmt: skip

LMDEPLOY = Provider(
    "lmdeploy", "LMDeploy (InternLM)", "http://localhost:23333/v1", ("LMDEPLOY_API_KEY",),
    structured="json_schema", local=True, limits="none", programs=("lmdeploy",),
    notes=("Unverified: the variable's name, which is ours, and stream_options in versions before 0.6.",),
    docs="lmdeploy",
)  # fmt: skip

LMSTUDIO = Provider(
    "lmstudio", "LM Studio", "http://localhost:1234/v1", ("LMSTUDIO_API_KEY",),
    structured="json_schema", local=True, max_concurrency=4, limits="none",
    notes=("The server has to be switched on in the app.", "Unverified: the variable's name, which is ours."),
    docs="lmstudio",
)  # fmt: skip

TRANSFORMERS = Provider(
    "transformers", "transformers serve", "http://localhost:8000/v1", (),
    auth="none", structured="prompt", stream_usage=False, rules=dialects.TRANSFORMERS, local=True, max_concurrency=4,
    limits="none", programs=("transformers",),
    notes=(
        "Meant for trying out: few requests at once.",
        "Takes response_format and ignores it: a schema is asked for in the prompt.",
        "Takes n and gives one answer; /v1/responses streams unless told not to, and never says that it cut an answer.",
    ),
    docs="transformers",
)  # fmt: skip

LITELLM = Provider(
    "litellm", "LiteLLM proxy", "http://localhost:4000/v1", ("LITELLM_API_KEY", "LITELLM_MASTER_KEY"),
    structured="json_schema", limits="x-ratelimit", programs=("litellm",),
    notes=(
        "A proxy in front of paid endpoints: its errors wrap theirs, so an ambiguous quota answer is probed.",
        "Set num_retries to 0 on the proxy: two layers of retries multiply.",
    ),
    docs="litellm",
)  # fmt: skip
