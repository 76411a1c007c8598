"""What all lines of a run share on their way: where they go, whose habits count, by which rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from batchllm.billing import Price
from batchllm.conversation import History
from batchllm.media_files import Media
from batchllm.protocols import Endpoint
from batchllm.providers import Provider, request_url
from batchllm.redaction import Redactor
from batchllm.settings import Retries
from batchllm.types import Request
from batchllm.validation import Schema

URLS = 1000
"""Addresses kept; a job that names more models than this at an endpoint with one address for each works them out anew."""


@dataclass(frozen=True, slots=True)
class Site:
    """One address of several that are one endpoint; `cap` is the most it bears in flight, None where nobody knows."""

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    key_hint: str = ""
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """What all lines of a run share on their way: the endpoint's address, the provider's habits, the rules.

    `headers` hold the key. `schema_for` gives the schema a request's answer is checked against, None for none; `escalate`
    is the model that is asked once where the answer does not become valid. `sites` are the addresses where there are several;
    `base_url` and `headers` are the first one's then.
    """

    provider: Provider
    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    endpoint_for: Callable[[str], Endpoint]
    schema_for: Callable[[Request], Schema | None]
    mode: str
    retries: Retries
    reask: int
    stream: bool | None
    settings_digest: str
    prices: Callable[..., Price | None]  # of the first name that has one, of the names of one model
    redactor: Redactor = field(default=Redactor(None), repr=False)
    escalate: str | None = None
    assumed: int | None = None  # tokens to reckon with for an answer that nothing limits
    media: Media = Media()  # noqa: RUF009 - it never changes
    history: History = History()  # noqa: RUF009 - it never changes
    sites: tuple[Site, ...] = ()
    _urls: dict[tuple[str, str], str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def url(self, path: str, model: str) -> str:
        """The absolute address of a request, worked out once for each path and model."""
        found = self._urls.get((path, model))
        if found is None:
            if len(self._urls) >= URLS:
                self._urls.clear()
            found = self._urls[path, model] = request_url(self.provider, self.base_url, path, model)
        return found
