"""What requests to each path look like and what their replies mean.

To add one: a file here, a line in `TABLE`, a parameter of `tests/contract/test_endpoints.py`. The table is
also the allow-list of what a job line may name: nothing else is ever sent anywhere.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib import import_module

from batchllm.errors import BatchllmError
from batchllm.protocols import Endpoint

DEFAULT = "/v1/chat/completions"

TABLE = {
    "chat/completions": "batchllm.endpoints.chat_completions:ENDPOINT",
    "responses": "batchllm.endpoints.responses:ENDPOINT",
    "completions": "batchllm.endpoints.completions:ENDPOINT",
    "embeddings": "batchllm.endpoints.embeddings:ENDPOINT",
    "moderations": "batchllm.endpoints.moderations:ENDPOINT",
    "rerank": "batchllm.endpoints.passthrough:RERANK",
    "score": "batchllm.endpoints.passthrough:SCORE",
    "images/generations": "batchllm.endpoints.passthrough:IMAGES",
}

# Letters, one version and known words only: no room for a scheme, a host, `..`, `//`, a query or a percent
# sign.
_PATH = re.compile(r"/?(?:v[0-9]{1,2}[a-z0-9]{0,8}/)?([a-z]+(?:/[a-z]+)*)/?")


class UnknownPathError(BatchllmError, KeyError):
    """A job line names a path that is not in the table; the text says which ones come near."""

    __str__ = Exception.__str__  # KeyError would show the text in quotes


def suffix(url: object) -> str | None:
    """The table's name for a path (`/v1/chat/completions/` is `chat/completions`); None if it may not be
    sent.
    """
    match = _PATH.fullmatch(url) if isinstance(url, str) and url.isascii() else None
    return match[1] if match and match[1] in TABLE else None


def allowed(url: object) -> bool:
    """Whether a job line may name this path."""
    return suffix(url) is not None


def endpoint_for(url: str) -> Endpoint:
    """The endpoint of a path, loaded when first asked for. Raises `UnknownPathError`, a `KeyError`."""
    name = suffix(url)
    if name is None:
        raise UnknownPathError(_unknown(url))
    module, attribute = TABLE[name].split(":")
    endpoint: Endpoint = getattr(import_module(module), attribute)
    return endpoint


def _unknown(url: object) -> str:
    asked = str(url)[:100]
    near = get_close_matches(asked.strip("/").removeprefix("v1/"), TABLE, n=3, cutoff=0.5) or list(TABLE)
    return f"The url {asked!r} is not an endpoint batchllm can send to; it knows {_listed(near)}."


def _listed(names: list[str]) -> str:
    return ", ".join(f"/v1/{name}" for name in names)
