"""Hosted endpoints in China, and their international twins."""

from __future__ import annotations

from dataclasses import replace

from batchllm.providers import dialects
from batchllm.providers.provider import Provider

_THINKERS = r"(?:.*/)?(?:qwen3-(?!.*(?:instruct|coder|max|embedding|rerank|vl))|qwq|qvq)"

DASHSCOPE = Provider(
    "dashscope", "Alibaba Model Studio (DashScope, Qwen), Beijing",
    "https://dashscope.aliyuncs.com/compatible-mode/v1", ("DASHSCOPE_API_KEY",),
    rules=dialects.DASHSCOPE, batch=True,
    json_needs_word=True, thinking_needs_stream=True, json_excludes_thinking=True, thinking_apart=True,
    thinking_models=_THINKERS, audio_as_url=True, limits="none",
    notes=(
        "insufficient_quota is tokens per minute or second here and recovers within a minute; no "
        "money is Arrearage.",
        "Limits are for the account and model over all keys, and also hold per second (a 60th of the "
        "minute's).",
        "Thinking needs stream = true, or set enable_thinking = false; JSON mode and thinking "
        "exclude each other.",
        "The header X-DashScope-Wait-Time asks the server to queue a burst (for limit_burst_rate only).",
        "Bodies: 16 MiB without base64, 20 MiB for a base64 item, 64 MiB in all.",
        "Keys belong to a region and a billing plan: another region's key is a 401.",
    ),
    docs="dashscope",
)  # fmt: skip

DASHSCOPE_INTL = replace(
    DASHSCOPE, name="dashscope-intl", title="Alibaba Model Studio (DashScope, Qwen), Singapore",
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1", batch=False,
    notes=(*DASHSCOPE.notes, "Unverified: whether the batch API is served here as in Beijing."),
)  # fmt: skip

SILICONFLOW = Provider(
    "siliconflow", "SiliconFlow", "https://api.siliconflow.cn/v1", ("SILICONFLOW_API_KEY",),
    stream_usage=False, rules=dialects.SILICONFLOW, batch=True, limits="none",
    notes=(
        "Errors stand at top level (code, message, data: null), without an error object.",
        "Limits per minute, hour and day for requests and tokens; the first one hit refuses. No "
        "rate-limit headers.",
        "The international address is https://api.siliconflow.com/v1, with keys of its own.",
        "Unverified: stream_options. It is not sent; usage stands in the chunks anyway.",
    ),
    docs="siliconflow",
)  # fmt: skip

MODELSCOPE = Provider(
    "modelscope", "ModelScope API-Inference", "https://api-inference.modelscope.cn/v1",
    ("MODELSCOPE_API_KEY", "MODELSCOPE_SDK_TOKEN", "MODELSCOPE_ACCESS_TOKEN"),
    structured="prompt", rules=dialects.MODELSCOPE, thinking_needs_stream=True, thinking_models=_THINKERS,
    max_concurrency=8, limits="counts of a day",
    notes=(
        "Free, with daily counts for the user (about 2,000 calls) and for each model: at 0 the run "
        "pauses to the next day.",
        "Thinking models need stream = true, or enable_thinking = false.",
        "Unverified: response_format and stream_options, which depend on the model's backend; the "
        "variables' names.",
    ),
    docs="modelscope",
)  # fmt: skip

DEEPSEEK = Provider(
    "deepseek", "DeepSeek", "https://api.deepseek.com", ("DEEPSEEK_API_KEY",), json_needs_word=True,
    limits="none",
    notes=(
        "Queues instead of refusing: a request may wait long, with blank lines or `: keep-alive` as "
        "signs of life.",
        "Under load a 200 may be empty or no JSON: asked again, and counted as perhaps paid.",
        "JSON mode needs the word json in the prompt, and may return an empty content now and then.",
        "402 means the balance is used up.",
    ),
    docs="deepseek",
)  # fmt: skip

ZHIPU = Provider(
    "zhipu", "Zhipu (GLM, BigModel)", "https://open.bigmodel.cn/api/paas/v4",
    ("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    stream_usage=False, rules=dialects.ZHIPU, batch=True,
    notes=(
        "The API's path ends in /v4; batch lines have the url /v4/chat/completions.",
        "Limits concurrency for each model (code 1302), not requests per minute: lower --concurrency.",
        "The international address is https://api.z.ai/api/paas/v4, with keys of its own.",
        "Unverified: stream_options. It is not sent; the last chunk carries usage anyway.",
    ),
    docs="zhipu",
)  # fmt: skip

MOONSHOT = Provider(
    "moonshot", "Moonshot (Kimi)", "https://api.moonshot.cn/v1", ("MOONSHOT_API_KEY",),
    rules=dialects.MOONSHOT, batch=True,
    notes=(
        "The international address is https://api.moonshot.ai/v1, with keys of its own.",
        "Concurrency is limited by the account's tier, down to 1 at the lowest.",
        "Unverified: the batch API's line format.",
    ),
    docs="moonshot",
)  # fmt: skip

VOLCENGINE = Provider(
    "volcengine", "Volcengine Ark (Doubao)", "https://ark.cn-beijing.volces.com/api/v3", ("ARK_API_KEY",),
    rules=dialects.VOLCENGINE,
    notes=(
        "model is a model's id or an inference endpoint's (ep-…).",
        "Batch inference goes by endpoints of its own, not by the OpenAI batch files.",
        "Unverified: json_schema, which only some models take; json_object is used.",
    ),
    docs="volcengine",
)  # fmt: skip
