"""Putting a run together: from settings and environment to the parts a `Run` is made of. The only place that knows them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from batchllm import __version__
from batchllm.admission import defaults_of, history_of, media_rules, preflight_for
from batchllm.configuration import Configuration
from batchllm.endpoints import endpoint_for
from batchllm.engines.engine import Elsewhere, Remade
from batchllm.errors import ExitCode, JobError
from batchllm.journal.manifest import shaping_digest
from batchllm.parts import Parts
from batchllm.prices import PriceList
from batchllm.records import Record
from batchllm.reports.summary import Facts
from batchllm.route import Route
from batchllm.settings import Settings
from batchllm.shipping import Shipped, secrets, shipped
from batchllm.sources.job_file import JobFile, Rereading
from batchllm.sources.request_line import RequestLine
from batchllm.target import Target, target
from batchllm.transports import TransportOptions, preferred, transport
from batchllm.types import Json, Request
from batchllm.validation import Schema, from_response_format, load_schema, own_format
from batchllm.watching import Watchers

Fault = Callable[[Request], str | None]
"""What keeps a request from being sent, in a sentence; None if nothing does."""


def parts(
    configuration: Configuration,
    job: Path,
    folder: Path,
    *,
    command: str,
    base_url: str | None = None,
    deliver: Callable[[Record], Awaitable[None]] | None = None,
    watch: Watchers | None = None,
) -> Parts:
    """Everything a run needs. `base_url` replaces the address (the embedded simulator's is known once it runs).

    Raises `JobError` (2) for a setting that cannot work.
    """
    chosen = target(configuration)
    settings = borne(configuration.settings, chosen)
    address = base_url or chosen.base_url
    if not address and chosen.serve is not None:
        raise JobError(
            ExitCode.USAGE, "serve works with run, chat and ask only; start the server yourself and give its base_url"
        )
    if settings.limits.share and settings.engine != "local":
        raise JobError(
            ExitCode.USAGE, f"limits.share works on this machine only; engine '{settings.engine}' shares out its own limits"
        )
    if settings.lane != "live":
        from batchllm.providers.batch_services import refuse_lane

        refuse_lane(settings, chosen.provider)
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
            headers=chosen.all_headers,
            endpoint_for=cache(endpoint_for),
            schema_for=_schema_for(schemas),
            mode=mode,
            retries=settings.retries,
            reask=settings.reask,
            stream=settings.stream,
            settings_digest=shaping_digest(shaping),
            prices=prices,
            redactor=chosen.redactor,
            sites=() if base_url else chosen.sites,
            escalate=settings.escalate,
            assumed=settings.assume_max_tokens,
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
            endpoint="the simulator" if chosen.provider.simulated else base_url or chosen.name if chosen.sites else address,
            model=settings.model,
            structured=mode if wants_schema else None,
            simulated=chosen.provider.simulated,
        ),
        version=__version__,
        key_hint=chosen.key_hint,
        deliver=deliver,
        watch=watch or Watchers(),
        elsewhere=_elsewhere(configuration, settings, chosen, job, base_url) if settings.engine == "ray" else None,
    )


def _elsewhere(configuration: Configuration, settings: Settings, chosen: Target, job: Path, base_url: str | None) -> Elsewhere:
    """How the workers on other machines come to make the same requests as this process would."""
    return Elsewhere(
        partial(remade, shipped(settings, base_url), job),
        secrets(settings, chosen.provider.key_env, configuration.environment),
        Rereading(job, line_reader(settings)),
        home_only=base_url is not None,
    )


def remade(from_there: Shipped, job: Path, keys: Mapping[str, str]) -> Remade:
    """What sends the requests of a run that another machine conducts. `job` is what it reads, and may not be here."""
    made = parts(Configuration(from_there.unpacked(), dict(keys)), job, Path(), command="", base_url=from_there.base_url)
    return Remade(made.route, made.settings, made.transport, Rereading(job, line_reader(made.settings)))


def borne(settings: Settings, chosen: Target) -> Settings:
    """Where nobody said how many requests may be in flight, no more than this kind of endpoint is known to bear."""
    each = chosen.provider.max_concurrency
    most = None if each is None else each * max(1, len(chosen.sites))
    if most is None or "concurrency" in settings.model_fields_set or settings.most_in_flight <= most:
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
    return TransportOptions(
        settings.timeouts, settings.sizes.response, settings.most_in_flight, settings.proxy, settings.ca_file
    )


def schemas_of(settings: Settings) -> dict[str | None, Schema]:
    """The default schema under None, the named ones under their names."""
    specs: dict[str | None, str] = dict(settings.schemas.items())
    if settings.schema_:
        specs[None] = settings.schema_
    return {name: load_schema(spec, Path()) for name, spec in specs.items()}


def formed(schemas: Mapping[str | None, Schema], mode: str) -> Callable[[Request], Json]:
    """The body of a request as it is sent, with the schema its answer is held to."""
    schema_for = _schema_for(schemas)

    def form(request: Request) -> Json:
        schema = schema_for(request)
        if schema is None:
            return request.body
        return endpoint_for(request.url).with_schema(request.body, schema.name, schema.json_schema, mode)

    return form


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
        "endpoint": chosen.identity,
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
