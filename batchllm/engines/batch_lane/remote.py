"""A provider's Files and Batches through the official client: one call each, no retry, no redirect, the key to one host only.

RemoteError   a call that failed, as a `Verdict`: the same classes as for live requests
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import openai

from batchllm.classify import classify, classify_failure
from batchllm.errors import ErrorCode, Phase, TransportError
from batchllm.providers import request_url
from batchllm.route import Route
from batchllm.settings import Settings
from batchllm.strictjson import loads
from batchllm.types import Json, Kind, Reply, Verdict

SLOWEST = 50_000
"""Bytes a second; an upload or download slower than this for its whole length is given up."""
CHUNK = 1 << 18
LISTED = 1000
"""Batches looked through, newest first, for one whose id was lost."""
_SENT = frozenset({"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "transfer-encoding",
                   "user-agent"})  # fmt: skip
"""Headers of the client's own that go out; ours come on top, and nothing that an environment variable put in."""
_BELOW = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "anyio", "h11"})
"""Packages below the client: what breaks off while a body is read comes from there as it is."""


class RemoteError(Exception):
    """A call to the Batch API failed; `verdict` says what may cure it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a batch failed: the API's code, and the line of the input file (from 1) where it names one."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A batch as the provider shows it. `status` is one of OpenAI's words, or the provider's own for "not yet"."""

    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    counts: Json = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


class BatchApi(Protocol):
    """What the lane asks of a provider. Each call raises `RemoteError`."""

    async def upload(self, path: Path) -> str:
        """The id of the uploaded file."""
        ...

    async def create(self, file_id: str, endpoint: str, window: str, model: str, tag: str) -> Seen: ...
    async def retrieve(self, batch_id: str) -> Seen: ...
    async def cancel(self, batch_id: str) -> Seen: ...

    def newest(self) -> AsyncIterator[Seen]:
        """The account's batches, newest first."""
        ...

    async def size(self, file_id: str) -> int | None:
        """Bytes of a file; None where the provider does not tell."""
        ...

    async def download(self, file_id: str, take: Callable[[bytes], None]) -> int:
        """Hand over the content piece by piece; the bytes in all."""
        ...


TAG = "batchllm"
"""The key of the metadata that holds a batch's tag."""


class OpenAIBatches:
    """The API as OpenAI has it. A context manager: leaving it closes the connections."""

    def __init__(self, route: Route, settings: Settings) -> None:
        url = urlsplit(request_url(route.provider, route.base_url, "/v1/batches", ""))
        self._origin = _origin(urlunsplit(url))
        self._headers = {name: value for name, value in route.headers.items() if name.lower() != "content-type"}
        self._rules = route.provider.rules
        self._redactor = route.redactor
        self._total = settings.timeouts.total
        path = url.path.removesuffix("/batches")
        bounds = settings.timeouts
        timeout = openai.Timeout(bounds.total, connect=bounds.connect, read=bounds.first_byte, write=bounds.silence)
        http = openai.DefaultAsyncHttpxClient(
            follow_redirects=False, trust_env=False, proxy=settings.proxy, timeout=timeout,
            verify=ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True,
            event_hooks={"request": [self._dress]},
        )  # fmt: skip
        self.client = openai.AsyncOpenAI(
            api_key="unused", base_url=urlunsplit((url.scheme, url.netloc, path, "", "")), max_retries=0, http_client=http,
            default_query=dict(parse_qsl(url.query)) or None,
        )  # fmt: skip

    async def _dress(self, request: Any) -> None:
        """Our headers in place of the client's; they hold the key, and go nowhere but to the configured host."""
        if _origin(str(request.url)) != self._origin:
            raise ConnectionError("a request to another host was held back")
        for name in [name for name in request.headers if name.lower() not in _SENT]:
            del request.headers[name]
        request.headers.update(self._headers)

    async def __aenter__(self) -> OpenAIBatches:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def upload(self, path: Path) -> str:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            made = await self.asked(self.client.files.create(file=(path.name, file), purpose="batch"), size)
        return str(made.id)

    async def create(self, file_id: str, endpoint: str, window: str, model: str, tag: str) -> Seen:
        given: Any = {"completion_window": window, "endpoint": endpoint}
        return _seen(await self.asked(self.client.batches.create(input_file_id=file_id, metadata={TAG: tag}, **given)))

    async def retrieve(self, batch_id: str) -> Seen:
        return _seen(await self.asked(self.client.batches.retrieve(batch_id)))

    async def cancel(self, batch_id: str) -> Seen:
        return _seen(await self.asked(self.client.batches.cancel(batch_id)))

    async def newest(self) -> AsyncIterator[Seen]:
        page: Any = await self.asked(self.client.batches.list(limit=100))
        for _ in range(LISTED // 100):
            for one in page.data or ():
                yield _seen(one)
            if not page.has_next_page():
                return
            page = await self.asked(page.get_next_page())

    async def size(self, file_id: str) -> int | None:
        try:
            shown = await self.asked(self.client.files.retrieve(file_id))
        except RemoteError as error:
            if error.verdict.kind is Kind.FINAL:
                return None
            raise
        return shown.bytes if type(shown.bytes) is int and shown.bytes > 0 else None

    async def download(self, file_id: str, take: Callable[[bytes], None]) -> int:
        async def read() -> int:
            count = 0
            async with self.client.files.with_streaming_response.content(file_id) as response:
                async for data in response.iter_bytes(CHUNK):
                    take(data)
                    count += len(data)
            return count

        size = await self.size(file_id)
        return int(await self.asked(read(), size or 0))

    async def asked(self, call: Any, size: int = 0) -> Any:
        """The outcome of one call within its bound. Raises `RemoteError`."""
        try:
            async with asyncio.timeout(self._total + size / SLOWEST):
                return await call
        except openai.APIStatusError as error:
            raise RemoteError(self._refused(error)) from None
        except (openai.APITimeoutError, TimeoutError):
            raise RemoteError(self._failed(Phase.TOTAL, "no reply within the bound")) from None
        except openai.APIConnectionError as error:
            phase = Phase.CONNECT if "Connect" in type(error.__cause__).__name__ else Phase.READ
            raise RemoteError(self._failed(phase, str(error.__cause__ or error))) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:  # a reply of another shape
            text = self._redactor.text(f"{type(error).__name__}: {error}")[:200]
            verdict = Verdict(Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE, f"not a reply of a Batch API: {text}")
            raise RemoteError(verdict) from None
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in _BELOW:
                raise  # ours, or the disk's
            raise RemoteError(self._failed(Phase.READ, f"{type(error).__name__}: {error}")) from None

    def _refused(self, error: openai.APIStatusError) -> Verdict:
        response = error.response
        headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            content = response.content
        except Exception:  # a streamed reply that was not read
            content = b""
        reply = self._redactor.reply(Reply(response.status_code, headers, content, 0.0))
        try:
            body = loads(reply.body)
        except ValueError:
            body = None
        verdict = classify(reply, body, self._rules, now=datetime.now(UTC))
        return verdict or Verdict(Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE, f"HTTP {reply.status} without an error")

    def _failed(self, phase: Phase, text: str) -> Verdict:
        return classify_failure(TransportError(phase, self._redactor.text(text)[:200]), self._rules, now=datetime.now(UTC))


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _seen(shown: Any) -> Seen:
    """What there is of a batch object; fields that some gateway leaves out or fills otherwise are passed over."""
    if not isinstance(getattr(shown, "id", None), str):
        raise RemoteError(Verdict(Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE, "the reply is no batch"))
    counts = getattr(shown, "request_counts", None)
    errors = getattr(getattr(shown, "errors", None), "data", None) or ()
    metadata = getattr(shown, "metadata", None)
    return Seen(
        shown.id,
        str(getattr(shown, "status", "")),
        _text(getattr(shown, "input_file_id", None)),
        _text(getattr(shown, "output_file_id", None)),
        _text(getattr(shown, "error_file_id", None)),
        {name: value for name in ("total", "completed", "failed") if type(value := getattr(counts, name, None)) is int},
        tuple(_fault(one) for one in errors),
        metadata if isinstance(metadata, dict) else {},
    )


def _fault(error: Any) -> Fault:
    line = getattr(error, "line", None)
    code = str(getattr(error, "code", "") or "")
    return Fault(code, str(getattr(error, "message", "") or "")[:300], line if type(line) is int else None)


def _text(value: Any) -> str | None:
    """An id; "" is none: some send an empty text where OpenAI sends null."""
    return value if isinstance(value, str) and value else None
