"""The endpoints known by name: one line each in the table, loaded when chosen.

To add one: a `Provider` in a file of this folder, and its line here. A user's own stands in the settings
under `[providers.NAME]` and goes through `provider_from`.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from urllib.parse import urlsplit

from batchllm.providers.provider import Provider, auth_headers, request_url
from batchllm.providers.rows import provider_from

__all__ = ["Provider", "auth_headers", "guess", "names", "provider", "provider_from", "request_url"]

_TABLE = {
    "openai": "batchllm.providers.openai:OPENAI",
    "azure": "batchllm.providers.openai:AZURE",
    "dashscope": "batchllm.providers.china:DASHSCOPE",
    "dashscope-intl": "batchllm.providers.china:DASHSCOPE_INTL",
    "siliconflow": "batchllm.providers.china:SILICONFLOW",
    "modelscope": "batchllm.providers.china:MODELSCOPE",
    "deepseek": "batchllm.providers.china:DEEPSEEK",
    "zhipu": "batchllm.providers.china:ZHIPU",
    "moonshot": "batchllm.providers.china:MOONSHOT",
    "volcengine": "batchllm.providers.china:VOLCENGINE",
    "openrouter": "batchllm.providers.hosted:OPENROUTER",
    "groq": "batchllm.providers.hosted:GROQ",
    "together": "batchllm.providers.hosted:TOGETHER",
    "mistral": "batchllm.providers.hosted:MISTRAL",
    "gemini": "batchllm.providers.hosted:GEMINI",
    "vllm": "batchllm.providers.local:VLLM",
    "sglang": "batchllm.providers.local:SGLANG",
    "ollama": "batchllm.providers.local:OLLAMA",
    "llamacpp": "batchllm.providers.local:LLAMACPP",
    "lmdeploy": "batchllm.providers.local:LMDEPLOY",
    "lmstudio": "batchllm.providers.local:LMSTUDIO",
    "transformers": "batchllm.providers.local:TRANSFORMERS",
    "litellm": "batchllm.providers.local:LITELLM",
    "simulator": "batchllm.providers.simulator:SIMULATOR",
    "custom": "batchllm.providers.custom:CUSTOM",
}

_HOSTS = {  # the end of a host name, whole labels
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "cognitiveservices.azure.com": "azure",
    "services.ai.azure.com": "azure",
    "dashscope.aliyuncs.com": "dashscope",
    "cn-beijing.maas.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope-intl",
    "dashscope-us.aliyuncs.com": "dashscope-intl",
    "maas.aliyuncs.com": "dashscope-intl",
    "siliconflow.cn": "siliconflow",
    "siliconflow.com": "siliconflow",
    "modelscope.cn": "modelscope",
    "deepseek.com": "deepseek",
    "bigmodel.cn": "zhipu",
    "z.ai": "zhipu",
    "moonshot.cn": "moonshot",
    "moonshot.ai": "moonshot",
    "volces.com": "volcengine",
    "openrouter.ai": "openrouter",
    "groq.com": "groq",
    "together.xyz": "together",
    "together.ai": "together",
    "mistral.ai": "mistral",
    "generativelanguage.googleapis.com": "gemini",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PORTS = {11434: "ollama", 1234: "lmstudio", 23333: "lmdeploy", 30000: "sglang"}  # 8000 could be anybody


def names() -> tuple[str, ...]:
    """Every name, in the table's order."""
    return tuple(_TABLE)


def provider(name: str) -> Provider:
    """The row of this name. A `KeyError` names the nearest one."""
    target = _TABLE.get(name.strip().lower())
    if target is None:
        near = get_close_matches(name.strip().lower(), _TABLE, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f": it is one of {', '.join(_TABLE)}"
        raise KeyError(f"unknown provider {name[:60]!r}{hint}")
    module, _, row = target.partition(":")
    found = getattr(import_module(module), row)
    assert isinstance(found, Provider)
    return found


def guess(base_url: str) -> str | None:
    """The provider a plain address belongs to; None if its host is nobody's we know."""
    try:
        parts = urlsplit(base_url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if host in _LOOPBACK:
        return _PORTS.get(port or 0)
    labels = host.split(".")
    ends = (".".join(labels[start:]) for start in range(len(labels)))
    return next((_HOSTS[end] for end in ends if end in _HOSTS), None)
