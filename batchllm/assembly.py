"""Putting a run together: from settings and environment to the parts a `Run` is made of. The only place that knows them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from batchllm import __version__
from batchllm.admission import defaults_of, history_of, media_rules, preflight_for
from batchllm.configuration import Configuration
from batchllm.endpoints import endpoint_for
from batchllm.errors import ExitCode, JobError
from batchllm.journal.manifest import shaping_digest
from batchllm.pipeline import Parts
from batchllm.prices import PriceList
from batchllm.providers import Provider, auth_headers, guess, names, provider, provider_from
from batchllm.records import Record
from batchllm.redaction import Redactor
from batchllm.reports.summary import Facts
from batchllm.route import Route
from batchllm.serving.plan import plan, provider_of, without_serve
from batchllm.settings import Settings, refuse_unencrypted
from batchllm.sources.job_file import JobFile
from batchllm.sources.request_line import RequestLine
from batchllm.transports import TransportOptions, preferred, transport
from batchllm.types import Json, Request
from batchllm.validation import Schema, from_response_format, load_schema, own_format

NO_ENDPOINT = (
    "no endpoint is chosen, so nothing was sent; name one with --provider NAME (`batchllm providers` lists them), "
    "with --base-url URL for a server of your own, or set OPENAI_API_KEY; --provider simulator rehearses without a bill"
)


Fault = Callable[[Request], str | None]
"""What keeps a request from being sent, in a sentence; None if nothing does."""


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoint a run goes to: whose habits, which address, and the headers that hold the key.

    `serve` is the command of a server that is started for the run: `base_url` is empty then, and known once it runs.
    """

    provider: Provider
    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    key_hint: str
    redactor: Redactor
    serve: str | None = None

    @property
    def name(self) -> str:
        """What a run's fingerprint calls the endpoint: the same at every start."""
        if self.serve is not None:
            return f"serve: {self.serve}"
        return "simulator" if self.provider.simulated else self.base_url


def target(configuration: Configuration) -> Target:
    """Choose the endpoint from the settings alone. Raises `JobError` (2) where none is chosen or its key is missing."""
    settings, environment = configuration.settings, configuration.environment
    started = plan(settings)
    chosen = _provider(settings, environment) if settings.provider or started is None else provider_of(started)
    if started is not None and chosen.simulated:
        raise JobError(ExitCode.USAGE, "serve starts a server of your own; the provider 'simulator' needs none")
    base_url = "" if started is not None else settings.base_url or chosen.base_url
    if not base_url and not chosen.simulated and started is None:
        raise JobError(ExitCode.USAGE, f"provider '{chosen.name}' needs --base-url: its address is different for every account")
    if not settings.insecure_http:
        try:
            refuse_unencrypted(base_url)  # the address may be a [providers] row's
        except ValueError as error:
            raise JobError(ExitCode.USAGE, f"provider '{chosen.name}': {error}") from None
    key, variable = _key(settings, chosen, environment)
    hint = f"the key came from ${variable}" if variable else "no key was sent"
    serve = None if started is None else started.text
    return Target(chosen, base_url.rstrip("/"), _auth(chosen, key, variable), hint, Redactor(key), serve)


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
    if settings.base_url:
        return provider(guess(settings.base_url) or "custom")
    if environment.get("OPENAI_API_KEY"):
        return provider("openai")
    raise JobError(ExitCode.USAGE, NO_ENDPOINT)


def _nearest(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else "`batchllm providers` lists them"


def _key(settings: Settings, chosen: Provider, environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The key and the variable it stands in; (None, None) where the endpoint needs none."""
    if chosen.auth == "none" and not settings.api_key_env:
        return None, None
    variables = (settings.api_key_env,) if settings.api_key_env else chosen.key_env
    for variable in variables:
        if environment.get(variable):
            return environment[variable].strip(), variable
    if settings.api_key_env or (variables and not chosen.local and chosen.name != "custom"):
        raise JobError(
            ExitCode.USAGE,
            f"the key for '{chosen.name}' is missing: set {' or '.join(variables)} in the environment or in .env",
        )
    return None, None


def parts(
    configuration: Configuration,
    job: Path,
    folder: Path,
    *,
    command: str,
    base_url: str | None = None,
    deliver: Callable[[Record], Awaitable[None]] | None = None,
) -> Parts:
    """Everything a run needs. `base_url` replaces the address (the embedded simulator's is known once it runs).

    Raises `JobError` (2) for a setting that cannot work.
    """
    chosen = target(configuration)
    settings = _borne(configuration.settings, chosen.provider)
    address = base_url or chosen.base_url
    if not address and chosen.serve is not None:
        raise JobError(
            ExitCode.USAGE, "serve works with run, chat and ask only; start the server yourself and give its base_url"
        )
    schemas = schemas_of(settings)
    mode = settings.structured if settings.structured != "auto" else chosen.provider.structured
    shaping = _shaping(settings, chosen, schemas, mode)
    wants_schema = bool(schemas)
    transport_name = _transport_name(settings)
    preflight = preflight_for(settings, chosen.provider, mode, default_schema=None in schemas)
    prices = price_list(settings, address)
    return Parts(
        settings=settings,
        job=job_file(settings, job, preflight.fault),
        preflight=preflight,
        folder=folder,
        route=Route(
            provider=chosen.provider,
            base_url=address,
            headers={"Content-Type": "application/json", **chosen.provider.headers, **chosen.headers},
            endpoint_for=cache(endpoint_for),
            schema_for=_schema_for(schemas),
            mode=mode,
            retries=settings.retries,
            reask=settings.reask,
            stream=settings.stream,
            settings_digest=shaping_digest(shaping),
            prices=prices,
            redactor=chosen.redactor,
            escalate=settings.escalate,
            media=media_rules(settings, chosen.provider),
            history=history_of(settings),
        ),
        shaping=shaping,
        priced=prices.note,
        transport=lambda: transport(transport_name, _transport_options(settings)),
        facts=Facts(
            job=str(job),
            output=str(folder),
            command=command,
            provider=chosen.provider.name,
            endpoint="the simulator" if chosen.provider.simulated else address,
            model=settings.model,
            structured=mode if wants_schema else None,
            simulated=chosen.provider.simulated,
        ),
        version=__version__,
        key_hint=chosen.key_hint,
        deliver=deliver,
    )


def _borne(settings: Settings, chosen: Provider) -> Settings:
    """Where nobody said how many requests may be in flight, no more than this kind of endpoint is known to bear."""
    most = chosen.max_concurrency
    if most is None or "concurrency" in settings.model_fields_set or settings.concurrency <= most:
        return settings
    return settings.model_copy(update={"concurrency": most})


def job_file(settings: Settings, job: Path, fault: Fault | None = None) -> JobFile:
    return JobFile(job, line_reader(settings, fault), settings.sizes.line)


def line_reader(settings: Settings, fault: Fault | None = None) -> RequestLine:
    """Reads lines with these settings' defaults; `fault` is what else makes a line a bad one."""
    return RequestLine(defaults_of(settings), settings.url, frozenset(settings.schemas), media_rules(settings), fault)


@contextmanager
def simulated_endpoint(configuration: Configuration) -> Iterator[str | None]:
    """The embedded endpoint's address while the run lasts, in a process of its own; None for a real endpoint."""
    chosen = target(configuration)
    if not chosen.provider.simulated or configuration.settings.base_url:
        yield None
        return
    from batchllm.simulator import options_from_table, run_in_process

    try:
        options = options_from_table(configuration.settings.simulator)
    except (ValueError, TypeError) as error:
        raise JobError(ExitCode.USAGE, f"[simulator]: {error}") from None
    with run_in_process(options) as hosted:
        yield hosted.base_url


def _transport_name(settings: Settings) -> str:
    """Which transport sends. Raises `JobError` (2) for one that cannot."""
    plain_proxy = settings.proxy is None or settings.proxy.lower().startswith("http://")
    if settings.transport != "httptools":
        return preferred() if settings.transport == "auto" and plain_proxy else "aiohttp"
    if preferred() != "httptools":
        raise JobError(ExitCode.USAGE, "transport 'httptools' needs the package of that name: pip install httptools")
    if not plain_proxy:
        raise JobError(ExitCode.USAGE, "transport 'httptools' speaks to http:// proxies only; leave transport out for this one")
    return "httptools"


def _transport_options(settings: Settings) -> TransportOptions:
    return TransportOptions(settings.timeouts, settings.sizes.response, settings.concurrency, settings.proxy, settings.ca_file)


def schemas_of(settings: Settings) -> dict[str | None, Schema]:
    """The default schema under None, the named ones under their names."""
    specs: dict[str | None, str] = dict(settings.schemas.items())
    if settings.schema_:
        specs[None] = settings.schema_
    return {name: load_schema(spec, Path()) for name, spec in specs.items()}


def _schema_for(schemas: Mapping[str | None, Schema]) -> Callable[[Request], Schema | None]:
    default = schemas.get(None)

    def schema_for(request: Request) -> Schema | None:
        if request.schema is not None:
            return schemas[request.schema]
        own = own_format(request.url, request.body)
        if own is None:
            return default if request.url.endswith(("/chat/completions", "/responses")) else None
        return from_response_format(own)

    return schema_for


def _shaping(settings: Settings, chosen: Target, schemas: Mapping[str | None, Schema], mode: str) -> Json:
    """What shapes every request: a change of any of it makes old answers another job's."""
    return {
        "model": settings.model,
        "body": settings.body,
        "url": settings.url,
        "endpoint": chosen.name,
        "provider": chosen.provider.name,
        "schema": {name or "": schema.json_schema for name, schema in schemas.items()} or None,
        "structured": mode if schemas else None,
        **{name: value for name in ("history", "image_max_px") if (value := getattr(settings, name)) is not None},
    }


def price_list(settings: Settings, base_url: str) -> PriceList:
    """What models cost at this address. Raises `JobError` (2) for a row of `[prices]` that cannot be used."""
    try:
        return PriceList(settings.prices, base_url, datetime.now(UTC))
    except ValueError as error:
        raise JobError(ExitCode.USAGE, str(error)) from None


def check_values(settings: Settings) -> dict[str, Any]:
    """The settings as they were understood, for `--dry-run` and `check`."""
    return settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
