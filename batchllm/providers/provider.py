"""What is particular to one endpoint's owner, and what it shapes: the address and the key's header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from batchllm.refusals import Rule

Auth = Literal["bearer", "api-key", "none"]
UrlStyle = Literal["openai", "azure-deployments"]
Structured = Literal["json_schema", "json_object", "tool", "prompt"]
ToldLimits = Literal["x-ratelimit", "counts of a day", "none", "unknown"]


@dataclass(frozen=True, slots=True)
class Provider:
    """One row. It holds no key: `key_env` names the variables one may stand in; the first that is set wins.

    `more_urls` are further addresses of the same endpoint, where a user's row gives a list of them.

    `structured` is the strictest way it takes to ask for an object of a schema. `rules` are how it says no
    where that differs from `refusals.GENERAL`. `limits` is how its replies tell what is left of a rate limit, which is read
    of everybody alike. `thinking_models` is a pattern of the models that think unless told not to, of use only where
    `thinking_needs_stream`; `thinking_apart`: max_tokens counts the answer without it. `programs` are the commands that
    start a server of this kind. `notes` are its quirks in words, for `batchllm providers`;
    one that starts with "Unverified" names facts of the row that were not checked against the owner's own
    pages.
    """

    name: str
    title: str
    base_url: str = ""
    key_env: tuple[str, ...] = ()
    auth: Auth = "bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    url_style: UrlStyle = "openai"
    structured: Structured = "json_object"
    stream_usage: bool = True
    rules: tuple[Rule, ...] = ()
    local: bool = False
    simulated: bool = False
    json_needs_word: bool = False
    thinking_needs_stream: bool = False
    json_excludes_thinking: bool = False
    thinking_apart: bool = False
    thinking_models: str = ""
    audio_as_url: bool = False
    limits: ToldLimits = "unknown"
    programs: tuple[str, ...] = ()
    more_urls: tuple[str, ...] = ()
    batch: bool = False
    max_concurrency: int | None = None
    notes: tuple[str, ...] = ()
    docs: str = ""

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Every address, none where it has to be given."""
        return (self.base_url, *self.more_urls) if self.base_url else ()


_VERSION = re.compile(r"/v[0-9]+(?=/)", re.ASCII)
_AZURE_V1 = re.compile(r"/openai/v[0-9]+/?$", re.ASCII)
_PER_DEPLOYMENT = ("/chat/completions", "/completions", "/embeddings")


def request_url(provider: Provider, base_url: str, path: str, model: str) -> str:
    """The absolute address of one request.

    A base with a path of its own says where the API begins, version included, as in every OpenAI client; a
    bare host gets the version of `path`, or `/v1`. So neither does `…/v1` + `/v1/chat/completions` double
    the version, nor does `http://localhost:8000` lack it. A base that already ends in the path is used as
    it is.
    """
    scheme, host, base, base_query = _split(base_url or provider.base_url)
    version = found[0] if (found := _VERSION.match(path)) else ""
    tail = "/" + path[len(version) :].lstrip("/")
    query = dict(parse_qsl(base_query, keep_blank_values=True))
    deployments = provider.url_style == "azure-deployments" and not _AZURE_V1.search(base)
    if deployments or provider.url_style == "openai":  # Azure's newer API has its version in the path alone
        query = {**provider.query, **query}
    if not base.endswith(tail):
        base = _azure_path(base, tail, model) if deployments else (base or version or "/v1") + tail
    return urlunsplit((scheme, host, base, urlencode(query), ""))


def _split(base_url: str) -> tuple[str, str, str, str]:
    """Scheme, host, path and query of a base address; a `ValueError` says what is wrong with any other."""
    parts = urlsplit(base_url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("base_url has to begin with http:// or https:// and to name a host")
    if "@" in parts.netloc:
        raise ValueError("base_url must not hold a login: name the variable that holds the key in key_env")
    return parts.scheme, parts.netloc, parts.path.rstrip("/"), parts.query


def _azure_path(base: str, tail: str, model: str) -> str:
    """Azure addresses a deployment where the others name a model; only some paths have one."""
    if "/openai/deployments/" in base:
        return base + tail
    root = base if base.endswith("/openai") else base + "/openai"
    if tail not in _PER_DEPLOYMENT:
        return root + tail
    if not model:
        raise ValueError("Azure needs a model: the name of the deployment")
    return f"{root}/deployments/{quote(str(model), safe='')}{tail}"


def auth_headers(provider: Provider, key: str | None) -> dict[str, str]:
    """The header that carries the key; none where there is no key or the provider takes none."""
    key = (key or "").strip()
    if provider.auth == "none" or not key:
        return {}
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key holds blanks or characters no key has: was something else copied with it?")
    return {"api-key": key} if provider.auth == "api-key" else {"Authorization": f"Bearer {key}"}
