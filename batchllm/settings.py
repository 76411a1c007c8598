"""Everything a run is told beside its job: small frozen values, checked once, at the door."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from batchllm.errors import ExitCode, JobError
from batchllm.gateway_settings import Gateway

_DOCUMENTATION = ip_network("2001:db8::/32")
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
MOST_IN_FLIGHT = 100_000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Timeouts(_Frozen):
    """Bounds on one attempt, in seconds. Together they leave no way for a request to hang."""

    connect: float = Field(10.0, gt=0, description="name look-up, TCP and TLS")
    first_byte: float = Field(600.0, gt=0, description="from sending to the first byte; a whole generation when not streaming")
    silence: float = Field(120.0, gt=0, description="between two payload bytes; blanks and comments do not count")
    total: float = Field(900.0, gt=0, description="one attempt as a whole: the only bound that stops a drip")
    drain: float = Field(30.0, ge=0, description="for what is in flight after SIGINT or SIGTERM")


class Retries(_Frozen):
    """How long a line is tried. Being told to wait uses up no attempt and is bounded by time instead."""

    max_attempts: int = Field(6, ge=1, description="attempts a line may spend on errors that may have been billed")
    paid: int = Field(1, ge=0, description="repeats after a billed but useless reply (empty, unparsable)")
    base: float = Field(1.0, gt=0, description="backoff before full jitter: base * 2^n seconds")
    cap: float = Field(60.0, gt=0, description="the longest backoff, seconds; a server's own wait may be longer")
    max_pause: float = Field(3600.0, gt=0, description="longest wait a server may ask for, seconds; beyond it: exit 75")
    max_outage: float = Field(1800.0, gt=0, description="seconds without any answer before the run ends with 69")
    item: float = Field(3600.0 * 6, gt=0, description="seconds a line may spend waiting and retrying, all in all")


class Sizes(_Frozen):
    """Caps in bytes, so that no single line or reply can take the memory."""

    line: int = Field(64 << 20, ge=1024, description="a line of the job")
    response: int = Field(64 << 20, ge=1024, description="a reply, unpacked")
    media: int = Field(20 << 20, ge=1024, description="a local image or sound, as it lies on the disk")


class SharedLimits(_Frozen):
    """Limits kept together with other processes of this user on this machine (see sharing.md)."""

    share: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="a name for the account: all processes that say it keep `rpm`, `tpm` and pauses together",
    )


class Cloud(_Frozen):
    """How a run's journal is shipped to object storage (`-o s3://…`, see cloud.md)."""

    segment: int = Field(8 << 20, ge=1024, description="bytes of new records that are shipped at once")
    every: float = Field(30.0, gt=0, description="seconds after which fewer are shipped, too")
    patience: float = Field(60.0, ge=0, description="seconds after a run for shipping what is left")


class BatchLane(_Frozen):
    """How the provider's own Batch API is used (`lane = "batch"` or `"auto"`). Unset limits are the provider's."""

    window: str | None = Field(None, pattern=r"^[1-9][0-9]*[hd]$", description="how long a batch may take, such as 24h")
    lines: int | None = Field(None, ge=1, description="at most so many lines in a batch")
    bytes: int | None = Field(None, ge=1024, description="at most so many bytes in a batch's file")
    queued_tokens: int | None = Field(None, ge=1, description="at most so many prompt tokens in unfinished batches")
    at_once: int | None = Field(None, ge=1, description="at most so many unfinished batches")
    poll: float = Field(10.0, gt=0, description="seconds until a batch is first asked after; the pauses grow from there")
    poll_most: float = Field(300.0, gt=0, description="the longest pause between two looks at a batch, seconds")
    settle: float = Field(30.0, ge=0, description="how long to look for a batch whose creation was not confirmed, seconds")
    discount: float | None = Field(
        None, ge=0, le=1, description="share of the live price where the price list has no batch price"
    )


class Settings(_Frozen):
    """The settings of one run, merged: defaults, `batchllm.toml`, sidecar, environment, flags (later ones win)."""

    insecure_http: bool = Field(False, description="allow plain http to a host that is not your own")
    provider: str | None = Field(None, description="a known endpoint (`batchllm providers`), or one of [providers]")
    base_url: str | tuple[str, ...] | None = Field(
        None, description="any OpenAI-compatible server; a list: several that are one target (see fleet.md)"
    )
    serve: str | None = Field(None, description="the command of a server that lives as long as the run; {port} is a free port")
    serve_timeout: float = Field(600.0, gt=0, description="seconds until the server of `serve` has to answer")
    api_key_env: str | tuple[str, ...] | None = Field(
        None, description="the environment variable that holds the key; a list: one for each base_url"
    )
    model: str | None = Field(None, description="the model of lines that name none")
    url: str = Field("/v1/chat/completions", description="the path of lines that name none")
    schema_: str | None = Field(None, alias="schema", description="FILE.py:Model or FILE.json that each answer has to fit")
    schemas: dict[str, str] = Field(default_factory=dict, description="the same by name, for lines with a `schema`")
    structured: Literal["auto", "json_schema", "json_object", "tool", "prompt"] = Field(
        "auto", description="how a schema is asked for; auto: what the provider takes"
    )
    escalate: str | None = Field(None, description="a model that is asked once for what is still invalid after `reask`")
    stream: bool | None = Field(None, description="stream answers; unset: as each line says")
    body: dict[str, Any] = Field(default_factory=dict, description="fields of every request whose line does not say otherwise")
    concurrency: int | Literal["auto"] = Field(
        64, description="at most so many requests in flight; auto: as many as are worth it"
    )
    max_concurrency: int = Field(1024, ge=1, le=100_000, description="at most so many where `concurrency` is auto")
    rpm: float | None = Field(None, gt=0, description="at most so many requests a minute")
    tpm: float | None = Field(None, gt=0, description="at most so many tokens a minute, prompt and answer")
    reask: int = Field(1, ge=0, description="times an invalid answer is asked again with what was wrong")
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    sizes: Sizes = Sizes()
    max_cost: float | None = Field(None, ge=0, description="US dollars that all runs into the folder may cost together")
    assume_max_tokens: int | None = Field(None, ge=1, description="the longest answer of a line that sets no limit itself")
    max_total_tokens: int | None = Field(None, ge=0, description="tokens that all runs into the folder may use together")
    max_runtime: float | None = Field(None, gt=0, description="seconds (or 1h30m) after which this run begins nothing new")
    canary: int = Field(0, ge=0, description="lines asked first; goes on only where the budget holds the rest, or you say so")
    tokenizer: str | None = Field(None, description="a tokenizer.json that `check` counts with")
    until: str | None = Field(None, pattern=r"^([01]?\d|2[0-3]):[0-5]\d$", description="HH:MM after which nothing new begins")
    strict: bool = Field(False, description="send nothing if any line is bad")
    on_change: Literal["refuse", "rerun", "keep"] = Field(
        "refuse", description="what to do where a setting changed that shapes every request"
    )
    retry_failed: bool = Field(False, description="ask again for lines that failed for good")
    fresh: bool = Field(False, description="begin anew; the old folder is moved aside")
    ordered: bool = Field(False, description="also write results.ordered.jsonl")
    report: bool = Field(True, description="leave report.html in the folder at the end of a run")
    on_finish: str | None = Field(
        None, description="a shell command at the end of a run, with the summary on its standard input"
    )
    on_finish_timeout: float = Field(60.0, gt=0, description="seconds `on_finish` may take")
    webhook: SecretStr | None = Field(None, exclude=True, description="a URL that is told how a run ended; kept secret")
    health_url: SecretStr | None = Field(None, exclude=True, description="a health check's ping URL; kept secret")
    metrics_file: str | None = Field(None, description="a .prom file for node_exporter, written while a run goes")
    otel: bool = Field(False, description="send OpenTelemetry spans and metrics as OTEL_EXPORTER_OTLP_* say")
    limit: int | None = Field(None, ge=1, description="only the first lines of the job")
    durability: Literal["none", "batch", "each"] = Field(
        "batch", description="when records are forced to disk: never, in groups, one by one"
    )
    media_root: str | None = Field(None, description="the folder below which lines may name images and sound")
    image_max_px: int | None = Field(None, ge=16, description="longest side of a local image; a larger one is shrunk")
    history: dict[str, Any] | None = Field(None, description="how much of a conversation goes along with each of its turns")
    pack: int = Field(1, ge=1, le=2048, description="lines of embeddings sent in one request")
    dedupe: bool | None = Field(None, description="send equal lines once: true all, false none, unset those at temperature 0")
    prefix_order: bool = Field(False, description="send lines with the same long beginning together, after one of them")
    engine: Literal["local", "ray"] = Field(
        "local", description="who sends the requests: this process, or workers on a Ray cluster"
    )
    ray_address: str | None = Field(
        None, description="the cluster's head, HOST:PORT; unset: RAY_ADDRESS, or one on this machine"
    )
    workers: int | None = Field(
        None, ge=1, le=10_000, description="workers on the Ray cluster; unset: one on each of its nodes"
    )
    lane: Literal["live", "batch", "auto"] = Field(
        "live", description="requests one by one, the provider's Batch API, or that until `until` comes near"
    )
    batch: BatchLane = BatchLane()
    limits: SharedLimits = SharedLimits()
    cloud: Cloud = Cloud()
    transport: Literal["auto", "aiohttp", "httptools"] = Field("auto", description="auto: the cheapest that is installed")
    proxy: str | None = Field(None, description="an HTTP proxy; the environment's are not read")
    ca_file: str | None = Field(None, description="certificates to trust, PEM")
    providers: dict[str, dict[str, Any]] = Field(default_factory=dict, description="endpoints of your own, by name")
    simulator: dict[str, Any] = Field(default_factory=dict, description="the embedded endpoint: `batchllm simulate --help`")
    gateway: Gateway = Gateway()
    prices: dict[str, dict[str, float]] = Field(default_factory=dict, description="dollars a million tokens, by model")

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Every address that is set; none, one or several."""
        return _several(self.base_url)

    @property
    def key_variables(self) -> tuple[str, ...]:
        """Every variable that is set to hold a key: none, one for all addresses, or one for each."""
        return _several(self.api_key_env)

    @property
    def most_in_flight(self) -> int:
        """The cap on requests in flight, found out or given."""
        return self.max_concurrency if self.concurrency == "auto" else self.concurrency

    @field_validator("concurrency", mode="plain")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        if value == "auto" or (type(value) is int and 1 <= value <= MOST_IN_FLIGHT):
            return value
        raise ValueError(f"should be a number from 1 to {MOST_IN_FLIGHT:,}, or auto")

    @field_validator("base_url", "api_key_env", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, list | tuple) or not value or not all(isinstance(one, str) for one in value):
            raise ValueError("has to be a text or a list of texts")
        return value[0] if len(value) == 1 else tuple(value)

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, value: str | tuple[str, ...] | None, info: ValidationInfo) -> str | tuple[str, ...] | None:
        """Absolute URLs, encrypted unless they stay on the user's own machine or network, each once."""
        urls = [absolute_url(one) for one in _several(value)]
        for url in urls:
            if not info.data.get("insecure_http"):
                refuse_unencrypted(url)
            if urls.count(url) > 1:
                raise ValueError(f"{url} is named twice")
        return tuple(urls) if isinstance(value, tuple) else next(iter(urls), None)

    @field_validator("webhook", "health_url")
    @classmethod
    def _postable(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A URL that may be a secret as a whole: what is wrong with it is said without it."""
        if value is not None:
            refuse_unpostable(value.get_secret_value(), insecure=bool(info.data.get("insecure_http")))
        return value

    @field_validator("max_runtime", mode="before")
    @classmethod
    def _in_seconds(cls, value: Any) -> Any:
        return seconds_of(value) if isinstance(value, str) else value

    @field_validator("body")
    @classmethod
    def _body_chooses_nothing(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "messages" in value or "prompt" in value:
            raise ValueError("prompts come from the job's lines; [body] holds parameters such as temperature")
        return value


def seconds_of(text: str) -> float:
    """A length of time: `90`, `90s`, `1h30m`. Raises ValueError for anything else."""
    found = _DURATION.fullmatch(text.strip().lower())
    if not found or not any(found.groups()):
        raise ValueError(f"'{text}' is no length of time; it should look like 90, 90s, 45m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _several(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def refuse_unencrypted(url: str) -> None:
    """Raises ValueError for plain http to a host that is not the user's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http" and not _at_home(host):
        raise ValueError(f"the key and every prompt would go unencrypted to {host}; use https, or set insecure_http = true")


def refuse_unpostable(value: str, *, insecure: bool) -> None:
    """Raises ValueError, without the URL in its text, for what cannot be posted to, or only unencrypted to a stranger."""
    try:
        parts = urlsplit(value)
        fit = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fit = False
    if not fit or any(ord(one) <= 32 for one in value):
        raise ValueError("this is no URL; it should look like https://example.com/…")
    if parts.username or parts.password:
        raise ValueError("a user name or password in this URL would not be sent; use a URL with a token in its path")
    if parts.scheme == "http" and not insecure and not _at_home(parts.hostname or ""):
        raise ValueError("this URL would be sent unencrypted; use https, or set insecure_http = true")


def _at_home(host: str) -> bool:
    """Whether plain http is usual there: this machine, a private address, a bare name on the user's own network."""
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        return address.is_loopback or (address.is_private and not address.is_unspecified and address not in _DOCUMENTATION)
    if host in LOOPBACK:
        return True
    if "." in host:
        return host.endswith((".local", ".internal", ".lan", ".localhost"))
    return not host.isdigit() and not host.startswith("0x")  # a number without dots is an address too


def absolute_url(value: str) -> str:
    """The URL without its trailing slash. Raises ValueError for anything but http(s)://host[:port][/path]."""
    try:
        parts = urlsplit(value)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_ok = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok:
        raise ValueError(f"'{value}' is no URL; it should look like https://api.example.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a base URL carries no user name, password, query or fragment; keys come from the environment")
    return value.rstrip("/")


def checked(values: Mapping[str, Any], origin: Mapping[str, str]) -> Settings:
    """Settings from merged raw values; `origin` names where each top-level key was set, for messages.

    Raises `JobError` (exit 2) with one sentence that names the setting and where it stands.
    """
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        raise JobError(ExitCode.USAGE, _sentence(error, origin)) from None


def _sentence(error: ValidationError, origin: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    where = origin.get(path[0], "the settings") if path else "the settings"
    name = ".".join(path) or "settings"
    if first["type"] == "extra_forbidden":
        return unknown_key(name, path, where)
    message = first["msg"].removeprefix("Value error, ")
    if name == "until" and first["type"] == "string_pattern_mismatch":
        message = "should be a time of day such as 06:30"
    if name == "limits.share" and first["type"] == "string_pattern_mismatch":
        message = "is a name of letters, digits, '-' and '_', such as openai-main"
    return f"{where}: {name}: {message[:1].lower()}{message[1:]}" if path else f"{where}: {message}"


def unknown_key(name: str, path: list[str], where: str) -> str:
    """The sentence that refuses a setting nobody reads, with the nearest one that exists."""
    known = _names_at(path[:-1])
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(sorted(known))}"
    return f"{where}: there is no setting '{name}'; {hint}"


def _names_at(path: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in path:
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return [info.alias or name for name, info in model.model_fields.items()]
