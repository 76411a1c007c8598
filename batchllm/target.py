"""Where a run goes: which provider's habits, which address or addresses, and the headers that hold the key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from batchllm.configuration import Configuration
from batchllm.errors import ExitCode, JobError
from batchllm.providers import Provider, auth_headers, guess, names, provider, provider_from
from batchllm.redaction import Redactor
from batchllm.route import Site
from batchllm.serving.plan import plan, provider_of, without_serve
from batchllm.settings import Settings, refuse_unencrypted

NO_ENDPOINT = (
    "no endpoint is chosen, so nothing was sent; name one with --provider NAME (`batchllm providers` lists them), "
    "with --base-url URL for a server of your own, or set OPENAI_API_KEY; --provider simulator rehearses without a bill"
)


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoint a run goes to: whose habits, which address, and the headers that hold the key.

    `serve` is the command of a server that is started for the run: `base_url` is empty then, and known once it runs.
    `sites` are the addresses where there are several; the first one's are `base_url`, `headers` and `key_hint`.
    """

    provider: Provider
    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    key_hint: str
    redactor: Redactor
    serve: str | None = None
    sites: tuple[Site, ...] = ()

    @property
    def name(self) -> str:
        """What messages call the endpoint: the same at every start."""
        if self.serve is not None:
            return f"serve: {self.serve}"
        if self.provider.simulated:
            return "simulator"
        return f"{self.base_url} and {len(self.sites) - 1} more" if self.sites else self.base_url

    @property
    def identity(self) -> str | list[str]:
        """What a run's fingerprint calls it: every address where there are several, in whatever order they were given."""
        several = self.sites and not self.provider.simulated
        return sorted(site.base_url for site in self.sites) if several else self.name

    @property
    def all_headers(self) -> dict[str, str]:
        """What goes with each request, the key among it."""
        return _headers(self.provider, self.headers)


def target(configuration: Configuration) -> Target:
    """Choose the endpoint from the settings alone. Raises `JobError` (2) where none is chosen or its key is missing."""
    settings, environment = configuration.settings, configuration.environment
    started = plan(settings)
    chosen = _provider(settings, environment) if settings.provider or started is None else provider_of(started)
    if started is not None and chosen.simulated:
        raise JobError(ExitCode.USAGE, "serve starts a server of your own; the provider 'simulator' needs none")
    urls = () if started is not None else settings.base_urls or chosen.base_urls
    if not urls and not chosen.simulated and started is None:
        raise JobError(ExitCode.USAGE, f"provider '{chosen.name}' needs --base-url: its address is different for every account")
    if len(urls) > 1 and settings.lane != "live":
        raise JobError(
            ExitCode.USAGE, f"lane '{settings.lane}' hands files to one address, and there are {len(urls)}: name one"
        )
    _refuse_unencrypted(settings, chosen, urls)
    keys = _keys(settings, chosen, environment, max(1, len(urls)))
    sites = [
        Site(url.rstrip("/"), _headers(chosen, _auth(chosen, *key)), _hint(key[1]), _borne(settings, chosen))
        for url, key in zip(urls, keys, strict=False)
    ]
    return Target(
        chosen,
        sites[0].base_url if sites else "",
        _auth(chosen, *keys[0]),
        _hint(keys[0][1]),
        Redactor(*(key for key, _ in keys)),
        None if started is None else started.text,
        tuple(sites) if len(sites) > 1 else (),
    )


def _refuse_unencrypted(settings: Settings, chosen: Provider, urls: tuple[str, ...]) -> None:
    """The addresses may be a [providers] row's, which the settings did not check."""
    if settings.insecure_http:
        return
    for url in urls:
        try:
            refuse_unencrypted(url)
        except ValueError as error:
            raise JobError(ExitCode.USAGE, f"provider '{chosen.name}': {error}") from None


def _borne(settings: Settings, chosen: Provider) -> int | None:
    """The most one address bears in flight, where the user did not say otherwise."""
    return None if "concurrency" in settings.model_fields_set else chosen.max_concurrency


def _hint(variable: str | None) -> str:
    return f"the key came from ${variable}" if variable else "no key was sent"


def _headers(chosen: Provider, auth: Mapping[str, str]) -> dict[str, str]:
    return {"Content-Type": "application/json", **chosen.headers, **auth}


def _auth(chosen: Provider, key: str | None, variable: str | None) -> dict[str, str]:
    try:
        return auth_headers(chosen, key)
    except ValueError as error:
        raise JobError(ExitCode.USAGE, f"${variable}: {error}") from None


def _provider(settings: Settings, environment: Mapping[str, str]) -> Provider:
    if settings.provider:
        if settings.provider in settings.providers:
            try:
                return provider_from(settings.provider, without_serve(settings.providers[settings.provider]))
            except ValueError as error:
                raise JobError(ExitCode.USAGE, f"[providers.{settings.provider}]: {error}") from None
        try:
            return provider(settings.provider)
        except KeyError:
            near = _nearest(settings.provider, [*names(), *settings.providers])
            raise JobError(ExitCode.USAGE, f"there is no provider '{settings.provider}'; {near}") from None
    if settings.base_urls:
        return provider(_guessed(settings.base_urls))
    if environment.get("OPENAI_API_KEY"):
        return provider("openai")
    raise JobError(ExitCode.USAGE, NO_ENDPOINT)


def _guessed(urls: tuple[str, ...]) -> str:
    found = {guess(url) or "custom": None for url in urls}
    if len(found) > 1:
        raise JobError(
            ExitCode.USAGE,
            f"these base URLs look like different providers ({', '.join(found)}), and a run has one: name it with --provider",
        )
    return next(iter(found))


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else "`batchllm providers` lists them"


_Key = tuple[str | None, str | None]
"""A key and the variable it stands in; (None, None) where the endpoint needs none."""


def _keys(settings: Settings, chosen: Provider, environment: Mapping[str, str], count: int) -> list[_Key]:
    """The key of each address: one for all, or one variable for each."""
    named = settings.key_variables
    if len(named) > 1 and len(named) != count:
        raise JobError(
            ExitCode.USAGE, f"api_key_env names {len(named)} variables for {count} addresses: name one, or one for each"
        )
    if len(named) > 1:
        return [_key(one, chosen, environment) for one in named]
    return [_key(named[0] if named else None, chosen, environment)] * count


def _key(named: str | None, chosen: Provider, environment: Mapping[str, str]) -> _Key:
    if chosen.auth == "none" and not named:
        return None, None
    variables = (named,) if named else chosen.key_env
    for variable in variables:
        if environment.get(variable):
            return environment[variable].strip(), variable
    if named or (variables and not chosen.local and chosen.name != "custom"):
        raise JobError(
            ExitCode.USAGE,
            f"the key for '{chosen.name}' is missing: set {' or '.join(variables)} in the environment or in .env",
        )
    return None, None
