"""Ways to send one request. A new one is a module here and a line in this table (name → import string)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from batchllm.protocols import Transport
from batchllm.settings import Timeouts

TRANSPORTS = {
    "aiohttp": "batchllm.transports.aiohttp_transport:AiohttpTransport",
    "httptools": "batchllm.transports.httptools_transport:HttptoolsTransport",
}


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """What every transport is built from. Bytes and seconds; `ca_file` replaces the system's certificates."""

    timeouts: Timeouts
    max_response: int
    connections: int
    proxy: str | None = None
    ca_file: str | None = None


def preferred() -> str:
    """The cheapest transport that is installed; all keep the same promises (`tests/contract/test_transports.py`)."""
    return "httptools" if find_spec("httptools") is not None else "aiohttp"


def transport(name: str, options: TransportOptions) -> Transport:
    """The transport called `name`, not yet opened. Raises KeyError for an unknown name, ImportError for a missing package."""
    module, _, attribute = TRANSPORTS[name].partition(":")
    return cast(Transport, getattr(import_module(module), attribute)(options))
