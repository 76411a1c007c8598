"""One request read whole, and one answer played."""

from __future__ import annotations

import time
from collections.abc import Callable

from .connection import Wire
from .gate import Gate
from .ledger import Ledger
from .script import Request
from .steps import How, Pause, Step
from .wire import is_whole, program


async def read_request(wire: Wire) -> Request:
    """The next whole request of the connection."""
    head = await wire.receive_until(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await _read_body(wire, headers)
    record = wire.record
    record.requests += 1
    return Request(method, path, headers, body, record.number, record.requests, time.monotonic())


async def _read_body(wire: Wire, headers: dict[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", "").lower():
        return await wire.receive(int(headers.get("content-length", "0")))
    pieces: list[bytes] = []
    while size := int((await wire.receive_until(b"\r\n")).partition(b";")[0], 16):
        pieces.append(await wire.receive(size))
        await wire.receive(2)
    while await wire.receive_until(b"\r\n"):
        pass
    return b"".join(pieces)


async def answer(wire: Wire, request: Request, step: Step, ledger: Ledger, elsewhere: str, notify: Callable[[], None]) -> None:
    """Sends what `step` says, and notes how far it came; `notify` is called before each pause."""
    sent, complete = 0, False
    try:
        for piece in program(step, time.time(), elsewhere):
            if isinstance(piece, Pause):
                await _pause(wire, piece, notify)
            else:
                await wire.send(piece)
                sent += len(piece)
        complete = sent > 0 and is_whole(step)
    finally:
        ledger.note(request, step, sent, complete)


def ending(step: Step) -> How:
    """What becomes of the connection after the step."""
    if step.cut is not None:
        return step.cut.how
    return "fin" if step.framing == "close" and step.after == "keep" else step.after


async def _pause(wire: Wire, pause: Pause, notify: Callable[[], None]) -> None:
    if isinstance(pause.until, Gate):
        pause.until.arrivals += 1
    if pause.seconds != 0:
        notify()
    await wire.pause(pause)
