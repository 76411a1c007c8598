"""How a reply is put on the connection: paced, or broken to order."""

import asyncio
import socket
import struct
from typing import Any

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from multidict import CIMultiDict

from batchllm.simulator.latency import Latency
from batchllm.simulator.reply import Frame, Reply

_RESET = struct.pack("ii", 1, 0)
_POLL_S = 0.5


def whole(reply: Reply) -> Response:
    sent = CIMultiDict(reply.headers)
    sent["Content-Type"] = reply.content_type
    return Response(status=reply.status, body=reply.body, headers=sent)


async def streamed(request: BaseRequest, reply: Reply, frames: list[Frame], pace: Latency) -> StreamResponse:
    """The frames, each after the time its tokens take; in one piece where tokens take none."""
    response = StreamResponse(status=reply.status, headers=CIMultiDict(reply.headers))
    response.headers["Content-Type"] = reply.content_type
    response.headers["Cache-Control"] = "no-cache"
    response.enable_chunked_encoding()
    await response.prepare(request)
    if not pace.per_token_s:
        await response.write(b"".join(data for data, _ in frames))
    else:
        await _paced(response, frames, pace.per_token_s)
    return response


async def _paced(response: StreamResponse, frames: list[Frame], per_token_s: float) -> None:
    """Sleeps against a timetable, not from frame to frame, so that the lateness of timers does not add up."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    for data, tokens in frames:
        due += tokens * per_token_s
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        await response.write(data)


class Broken(StreamResponse):
    """A response for a connection that was closed on purpose: there is nothing more to send.

    aiohttp takes a ConnectionError while a response is prepared for a client that went away, and says
    nothing; one raised by the handler it would log with a traceback.
    """

    async def prepare(self, request: BaseRequest) -> None:
        raise ConnectionError("broken to order")


async def hang(request: BaseRequest, seconds: float) -> StreamResponse:
    """Answers nothing for so long, or until the client goes; then drops the connection."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0 and not _gone(request):  # noqa: ASYNC110
        await asyncio.sleep(min(left, _POLL_S))
    return broken(request)


def _gone(request: BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def reset(request: BaseRequest, reply: Reply) -> StreamResponse:
    """Half the reply, then RST in place of an end."""
    _send_head(request, reply, _half(reply), chunked=False)
    if (transport := request.transport) is not None:
        connection: Any = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    return Broken()


def truncated(request: BaseRequest, reply: Reply) -> StreamResponse:
    """Half the reply and an orderly close, in one of two ways that the reply's key chooses.

    A whole reply is short of its Content-Length or a chunked body without its end. A stream lacks its end
    either way; half of them close the HTTP body in good order, so that only the missing finish tells.
    """
    odd = reply.pace % 2 == 1
    _send_head(request, reply, _half(reply), chunked=odd or reply.frames is not None)
    if reply.frames is not None and odd and request.transport is not None:
        request.transport.write(b"0\r\n\r\n")
    return broken(request)


def broken(request: BaseRequest) -> StreamResponse:
    """Closes the connection after what was written."""
    if request.transport is not None:
        request.transport.close()
    return Broken()


def _half(reply: Reply) -> bytes:
    if reply.frames is not None:
        return b"".join(data for data, _ in reply.frames[: max(1, len(reply.frames) // 2)])
    return reply.body[: len(reply.body) // 2]


def _send_head(request: BaseRequest, reply: Reply, part: bytes, *, chunked: bool) -> None:
    """Raw bytes, since aiohttp would rightly refuse to send a reply that contradicts itself."""
    lines = [f"HTTP/1.1 {reply.status} OK", f"Content-Type: {reply.content_type}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(part) * 2 + 64}")
    framed = b"%x\r\n%b\r\n" % (len(part), part) if chunked else part
    if request.transport is not None:
        request.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + framed)
