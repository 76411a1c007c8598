"""Live requests, passed through before any batch: one attempt each, as they come back, without our key and without redirects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from batchllm.assembly import line_reader
from batchllm.classify import classify, classify_failure
from batchllm.engines.gate import GateClosed
from batchllm.errors import Phase, TransportError
from batchllm.gateway.api_error import ApiError, invalid, stopping
from batchllm.gateway.reception import Reception, raw_body
from batchllm.providers import request_url
from batchllm.strictjson import dumps, loads
from batchllm.types import BadLine, Call, Reply, Request

PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings")
WAIT_S = 60.0
"""The longest a live request waits for its slot."""
_KEPT = ("content-type", "retry-after", "retry-after-ms", "x-request-id")
"""Of a reply's header: what speaks of this request, not of the account that all share."""
_LATE = frozenset({Phase.FIRST_BYTE, Phase.SILENCE, Phase.TOTAL})
_EVENT_END = b"\n\n"
_HOLD = 1 << 16
"""Bytes of a stream that are held back for the end of an event, so that a key is never cut in two."""


class Passing:
    """The handlers for live requests of one gateway."""

    def __init__(self, reception: Reception) -> None:
        self._shop = reception.shop
        self._route = reception.shop.upstream.shared.route
        settings = reception.shop.upstream.shared.settings
        preflight = reception.shop.upstream.shared.preflight
        self._reader = line_reader(settings, preflight.fault if preflight else None)
        self._most = settings.sizes.line

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/models", self.models), *(web.post(path, self.live) for path in PATHS)]

    async def models(self, request: web.Request) -> web.Response:
        route = self._route
        call = Call(request_url(route.provider, route.base_url, "/v1/models", ""), b"", route.headers, method="GET")
        try:
            return _whole(self._clean(await self._shop.transport.send(call)))
        except TransportError as error:
            raise _unreached(error) from None

    async def live(self, request: web.Request) -> web.StreamResponse:
        """A request as a line of a job is: checked alike, with the settings' defaults, sent once and judged for the throttle."""
        asked = self._read(request.path, await raw_body(request, self._most))
        stream = asked.body.get("stream") is True
        model = asked.body.get("model")
        url = self._route.url(asked.url, model if type(model) is str else "")
        call = Call(url, dumps(asked.body), self._route.headers, stream)
        await self._enter()
        try:
            if stream:
                return await _Streaming(request, self._route.redactor.bytes).run(lambda feed: self._send(call, feed))
            return _whole(await self._send(call, None))
        finally:
            self._shop.house.live.leave()

    def _read(self, path: str, raw: bytes) -> Request:
        try:
            body = loads(raw)
        except ValueError as error:
            raise invalid(f"The body could not be parsed as JSON: {str(error)[:200]}") from None
        one = self._reader.read(1, dumps({"custom_id": "live", "url": path, "body": body}))
        if isinstance(one, BadLine):
            raise invalid(one.message)
        return one

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._shop.house.live.enter()
        except TimeoutError:
            message = f"No slot at the endpoint within {WAIT_S:.0f} s."
            raise ApiError(503, message, kind="server_error", code="overloaded", headers={"Retry-After": "10"}) from None
        except GateClosed:
            raise stopping() from None

    async def _send(self, call: Call, feed: Callable[[bytes], bool] | None) -> Reply:
        """Send once; what came of it is told to the throttle that all share. Raises `ApiError` (502, 504)."""
        throttle, clock = self._shop.house.throttle, self._shop.house.loop.time
        sent_at = clock()
        try:
            reply = await self._shop.transport.send(call, feed)
        except TransportError as error:
            now = datetime.now(UTC)
            throttle.failed(classify_failure(error, self._route.provider.rules, now=now), 0, sent_at, clock())
            raise _unreached(error) from None
        except BaseException:
            throttle.cancelled(sent_at, clock())
            raise
        self._judge(reply, sent_at, clock())
        return self._clean(reply)

    def _judge(self, reply: Reply, sent_at: float, now: float) -> None:
        throttle = self._shop.house.throttle
        if 200 <= reply.status < 300:
            throttle.succeeded(sent_at, now)
            return
        verdict = classify(reply, _json(reply.body), self._route.provider.rules, now=datetime.now(UTC))
        if verdict is None:
            throttle.succeeded(sent_at, now)
        else:
            throttle.failed(verdict, 0, sent_at, now)

    def _clean(self, reply: Reply) -> Reply:
        """Without the key; what would send the client elsewhere, or speaks of our key, is our own failure.

        Raises `ApiError` (502).
        """
        if 300 <= reply.status < 400:
            raise _upstream("The endpoint answered with a redirect, which is never followed.", "upstream_redirect")
        if reply.status in (401, 407):
            raise _upstream("The endpoint does not accept this gateway's own key; ask its operator.", "upstream_authentication")
        return self._route.redactor.reply(reply)


class _Streaming:
    """A streamed reply on its way to a client: whole events, as they come; or the reply as a whole where it is no stream."""

    def __init__(self, request: web.Request, clean: Callable[[bytes], bytes]) -> None:
        self._request = request
        self._clean = clean
        self._held = bytearray()
        self._ready: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def run(self, send: Callable[[Callable[[bytes], bool]], Any]) -> web.StreamResponse:
        """Send, and hand on what comes. A client that goes away ends the request."""
        async with _owned(self._sent(send)) as sending:
            first = await self._ready.get()
            if first is None:
                return _whole(await sending)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
            await response.prepare(self._request)
            piece: bytes | None = first
            while piece is not None:
                await response.write(piece)
                piece = await self._ready.get()
            await self._end(response, sending)
            return response

    async def _sent(self, send: Callable[[Callable[[bytes], bool]], Any]) -> Reply:
        try:
            reply: Reply = await send(self._feed)
            return reply
        finally:
            self._flush()
            self._ready.put_nowait(None)

    async def _end(self, response: web.StreamResponse, sending: asyncio.Task[Reply]) -> None:
        """A stream that broke off says so in an event, as the API's own does."""
        try:
            await sending
        except ApiError as error:
            await response.write(b"data: " + dumps(error.body()) + b"\n\n")
        await response.write_eof()

    def _feed(self, data: bytes) -> bool:
        self._held += data
        end = self._held.rfind(_EVENT_END)
        if end >= 0:
            self._let_go(end + len(_EVENT_END))
        elif len(self._held) > _HOLD:
            self._let_go(len(self._held) - _HOLD // 2)
        return not data.isspace() and not data.startswith(b":")

    def _let_go(self, size: int) -> None:
        self._ready.put_nowait(self._clean(bytes(self._held[:size])))
        del self._held[:size]

    def _flush(self) -> None:
        if self._held:
            self._let_go(len(self._held))


class _owned:  # noqa: N801 - used like a function
    """A task that does not outlive its block."""

    def __init__(self, work: Any) -> None:
        self._work = work

    async def __aenter__(self) -> asyncio.Task[Reply]:
        self._task: asyncio.Task[Reply] = asyncio.get_running_loop().create_task(self._work, name="live")
        return self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()


def _whole(reply: Reply) -> web.Response:
    headers = {name: reply.headers[name] for name in _KEPT if name in reply.headers}
    headers.setdefault("content-type", "application/json")
    return web.Response(status=reply.status, body=reply.body, headers=headers)


def _json(body: bytes) -> Any:
    try:
        return loads(body)
    except ValueError:
        return None


def _unreached(error: TransportError) -> ApiError:
    status = 504 if error.phase in _LATE else 502
    return ApiError(status, f"The endpoint gave no whole reply: {error}.", kind="server_error", code="upstream_unavailable")


def _upstream(message: str, code: str) -> ApiError:
    return ApiError(502, message, kind="server_error", code=code, headers={"x-should-retry": "false"})
