"""What each provider's Batch API takes: one row each. Where sources differ, the lower limit and the dearer price stand here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from batchllm.errors import ExitCode, JobError
from batchllm.providers import Provider
from batchllm.settings import BatchLane, Settings

MB = 1_000_000
_VERSION = re.compile(r"^/v[0-9]+(?=/)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Service:
    """Limits of one Batch API. `price` is the share of the live price where no list knows better; `prefix` replaces the
    version in the lines' `url` (None: it stays); `queued_tokens` and `at_once` are None where the account decides.
    """

    lines: int = 50_000
    bytes: int = 200 * MB
    window: str = "24h"
    price: float = 0.5
    prefix: str | None = None
    queued_tokens: int | None = None
    at_once: int | None = None
    api: Literal["openai", "mistral"] = "openai"
    endpoints: tuple[str, ...] = ("/chat/completions", "/completions", "/embeddings", "/responses", "/moderations")

    def url(self, path: str) -> str:
        """The `url` of a line, and the `endpoint` of its batch."""
        return path if self.prefix is None else self.prefix + _VERSION.sub("", path)


_CHAT = ("/chat/completions",)
_TEXT = ("/chat/completions", "/embeddings")

SERVICES: dict[str, Service] = {
    "openai": Service(),
    "azure": Service(prefix="", endpoints=("/chat/completions", "/responses", "/embeddings")),
    "dashscope": Service(bytes=100 * MB, endpoints=_TEXT),
    "siliconflow": Service(lines=5_000, bytes=1000 * MB, endpoints=_CHAT),
    "groq": Service(bytes=100 * MB, price=0.75, endpoints=_CHAT),
    "together": Service(bytes=100 * MB, queued_tokens=30_000_000_000, endpoints=_CHAT),
    "mistral": Service(api="mistral", endpoints=("/chat/completions", "/embeddings", "/moderations")),
    "zhipu": Service(bytes=100 * MB, prefix="/v4", endpoints=_TEXT),
    "moonshot": Service(bytes=100 * MB, endpoints=_CHAT),
    "simulator": Service(),
}
"""OpenAI: API reference of batches and files, and the Batch FAQ. Azure: "Getting started with Azure OpenAI batch
deployments" (100,000 lines there; 50,000 in the reference). DashScope: "OpenAI Batch compatible" (100 MB, later 500).
SiliconFlow: guide "Batch inference". Groq: "Batch API" (a discount of 25 %, later 50 %). Together: "Batch overview". Mistral:
"Batch inference" (a million lines). Zhipu and Moonshot: unverified."""

_OTHERS = Service(price=1.0)
"""Any server that speaks the API, such as a gateway of one's own: it gives no discount unless the settings say so."""


def service_of(provider: Provider, lane: BatchLane) -> Service:
    """The provider's row with the user's own limits, which may go beyond it. Raises `JobError` (2) where it has no such API."""
    row = SERVICES.get(provider.name)
    if row is None and (provider.batch or provider.name == "custom"):
        row = _OTHERS
    if row is None:
        raise JobError(
            ExitCode.USAGE,
            f"provider '{provider.name}' has no Batch API that batchllm knows of; leave --lane out, or put "
            "`batch = true` into its [providers] table if it does",
        )
    names = {"window": "window", "lines": "lines", "bytes": "bytes", "queued_tokens": "queued_tokens", "at_once": "at_once",
             "price": "discount"}  # fmt: skip
    own = {name: value for name, source in names.items() if (value := getattr(lane, source)) is not None}
    return replace(row, **own)


def refuse_lane(settings: Settings, provider: Provider) -> None:
    """Raises `JobError` (2) where these settings cannot go through a Batch API."""
    service_of(provider, settings.batch)
    if settings.lane == "auto" and settings.until is None:
        raise JobError(ExitCode.USAGE, "--lane auto needs --until HH:MM: the time by which the live lane has to be done")
