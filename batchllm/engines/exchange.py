"""One attempt: a slot, the request, what its reply comes to. Between the reply and its record nothing awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from batchllm.endings import Endings
from batchllm.engines.gate import Gate, GateClosed
from batchllm.engines.spending import Spending
from batchllm.errors import JobError, TransportError
from batchllm.media import loaded
from batchllm.media_files import MediaError
from batchllm.protocols import Transport
from batchllm.ratelimit_headers import read_limits
from batchllm.route import Route
from batchllm.steps import AnyStep, Asked, Done, Onward
from batchllm.throttle import Throttle
from batchllm.types import Json


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where what comes of requests goes. `done` and `note` return with the bytes safe; `deliver` may wait."""

    done: Callable[[Done, Asked], None]
    note: Callable[[Json, Asked], None]
    deliver: Callable[[Done], Awaitable[None]] | None = None


class Exchange:
    """Sends one request of a line at a time: `attempt` waits for the slot and returns when the reply is in the journal.

    `ended` is called after each attempt with the step, and the ending it brings about if there is one.
    """

    def __init__(
        self,
        route: Route,
        transport: Transport,
        gate: Gate,
        outlet: Outlet,
        endings: Endings,
        spending: Spending,
        jitter: Callable[[], float],
        ended: Callable[[JobError | None], None],
    ) -> None:
        self._route = route
        self._transport = transport
        self._gate = gate
        self._throttle: Throttle = gate.throttle
        self._outlet = outlet
        self._endings = endings
        self._spending = spending
        self._jitter = jitter
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self.aborting = False

    async def attempt(self, item: Asked, *, again: bool) -> AnyStep:
        """One request of the line. Raises `GateClosed` where it may not be sent any more, or nobody waited for its reply."""
        throttle = self._throttle
        tokens = item.token_estimate() if throttle.counts_tokens else 0.0
        money = await self._spending.afford(item) if self._spending.limited else 0.0
        try:
            await self._gate.enter(tokens, again=again)
        except BaseException:
            self._spending.unsent(money)
            raise
        try:
            extras = item.request.extras
            if extras is not None and extras.media:
                return await self._send_media(item, tokens, money)
            return await self._send(item, tokens, money)
        finally:
            if self._gate.waiting:
                self._gate.wake()

    async def _send_media(self, item: Asked, tokens: float, money: float) -> AnyStep:
        """An exchange whose local files are read in a thread, and held no longer than it lasts."""
        began = self._loop.time()
        try:
            data, files = await asyncio.to_thread(loaded, item.body, self._route.media)
        except MediaError as error:
            self._throttle.cancelled(began, self._loop.time())
            self._spending.unsent(money)
            step = item.unsendable(str(error))
            self._safe(item, step)
            return step
        except asyncio.CancelledError:
            self._throttle.cancelled(began, self._loop.time())
            self._spending.unsent(money)
            raise
        item.sends(files)
        return await self._send(item, tokens, money, data)

    async def _send(self, item: Asked, tokens: float, money: float, data: bytes | None = None) -> AnyStep:
        throttle, loop = self._throttle, self._loop
        sent_at, mark = loop.time(), throttle.sent_count
        try:
            call = item.call(sent_at, data)
            reply = await self._transport.send(call, item.feed)
        except TransportError as error:
            if self.aborting and not error.partial:
                self._abandon(item, sent_at, money)
                raise GateClosed from None
            now = loop.time()
            step = item.failed(error, now, self._jitter(), outage=throttle.breaker.shields(item.request.line))
        except asyncio.CancelledError:
            self._abandon(item, sent_at, money)
            raise
        else:
            now = loop.time()
            limits = read_limits(reply.headers)
            if limits is not None:
                throttle.saw(limits, mark, tokens, sent_at, now)
            step = item.received(reply, now, self._jitter(), outage=throttle.breaker.shields(item.request.line))
        self._safe(item, step)
        self._learn(item, step, sent_at, now, tokens, money)
        return step

    def _abandon(self, item: Asked, sent_at: float, money: float) -> None:
        """Nobody waits for the reply any more: its outcome is unknown, and counted at the worst."""
        self._throttle.cancelled(sent_at, self._loop.time())
        self._spending.settle(money, None)
        self._outlet.note(item.abandoned(), item)

    def _safe(self, item: Asked, step: AnyStep) -> None:
        """Paid bytes to the journal, before anything else happens to them."""
        if isinstance(step, Done):
            self._outlet.done(step, item)
        elif not isinstance(step, Onward):
            self._outlet.note(step.note, item)
        elif isinstance(step.kept, Done):
            self._outlet.done(step.kept, item)
        else:
            self._outlet.note(step.kept, item)

    def _learn(self, item: Asked, step: AnyStep, sent_at: float, now: float, tokens: float, money: float) -> None:
        throttle = self._throttle
        if isinstance(step, Onward) and isinstance(step.kept, Done):
            step = step.kept
        if isinstance(step, Onward) or (isinstance(step, Done) and step.verdict is None):
            throttle.succeeded(sent_at, now)
        else:
            assert step.verdict is not None
            throttle.failed(step.verdict, item.request.line, sent_at, now)
        if tokens:
            throttle.settle(sent_at, tokens, item.last_tokens(tokens))
        if money:
            self._spending.settle(money, 0.0 if item.last.billed == "no" else item.last.cost_usd)
        self._ended(self._endings.after(step, item, throttle, now))
