"""One attempt: a slot, the request, what its reply comes to. Between the reply and its record nothing awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from batchllm.billing import Worst
from batchllm.endings import Endings
from batchllm.engines.gate import Door, GateClosed
from batchllm.engines.roster import Roster
from batchllm.engines.spending import Spending
from batchllm.errors import JobError, TransportError
from batchllm.media import loaded
from batchllm.media_files import MediaError
from batchllm.protocols import Transport
from batchllm.ratelimit_headers import read_limits
from batchllm.route import Route
from batchllm.steps import AnyStep, Asked, Done, Finished, Onward
from batchllm.throttle import Throttle
from batchllm.throttle.fleet import NOBODY, Member, Shunned, Told
from batchllm.throttle.goodput import work_of
from batchllm.types import Json


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where what comes of requests goes. `done`, `note` and `answered` return with the bytes safe; `deliver` may wait. `begun`
    is told of each request as it goes out. `answered` is None where whole records are wanted of every line."""

    done: Callable[[Done, Asked], None]
    note: Callable[[Json, Asked], None]
    deliver: Callable[[Done], Awaitable[None]] | None = None
    begun: Callable[[Asked], None] | None = None
    answered: Callable[[Sequence[Finished]], None] | None = None


@dataclass(slots=True)
class Ticket:
    """What one request was let in with: whom its outcome is told, the tokens reserved for it, what was set aside for it, the
    endpoints it may not go to."""

    told: Told
    tokens: float
    aside: Worst | None
    shunned: Shunned


class Exchange:
    """Sends one request of a line at a time: `attempt` waits for the slot and returns when the reply is in the journal.

    `ended` is called after each attempt with the step, and the ending it brings about if there is one.
    """

    def __init__(
        self,
        route: Route,
        transport: Transport,
        gate: Door,
        outlet: Outlet,
        endings: Endings,
        spending: Spending,
        jitter: Callable[[], float],
        ended: Callable[[JobError | None], None],
        roster: Roster | None = None,
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
        self._roster = roster
        self._loop = asyncio.get_running_loop()
        self.aborting = False

    async def attempt(self, item: Asked, *, again: bool, shunned: Shunned = NOBODY) -> AnyStep:
        """One request of the line. Raises `GateClosed` where it may not be sent any more, or nobody waited for its reply."""
        counts = self._throttle.counts_tokens if self._roster is None else self._roster.fleet.counts_tokens
        tokens = item.token_estimate() if counts else 0.0
        ticket = await self._enter(item, tokens, again=again, shunned=shunned)
        try:
            extras = item.request.extras
            if extras is not None and extras.media:
                return await self._send_media(item, ticket)
            return await self._send(item, ticket)
        finally:
            self._gate.leave()

    async def _enter(self, item: Asked, tokens: float, *, again: bool, shunned: Shunned) -> Ticket:
        """Money first, then a slot; money once more where replies took more of it in between than had been set aside."""
        while True:
            aside = await self._spending.afford(item) if self._spending.limited else None
            try:
                told = await self._gate.enter(tokens, again=again, shunned=shunned) or self._throttle
            except BaseException:
                self._give_back(aside)
                raise
            if aside is None or not self._spending.passed:
                return Ticket(told, tokens, aside, shunned)
            now = self._loop.time()
            told.cancelled(now, now)
            self._gate.leave()
            self._spending.unsent(aside)

    async def _send_media(self, item: Asked, ticket: Ticket) -> AnyStep:
        """An exchange whose local files are read in a thread, and held no longer than it lasts."""
        began = self._loop.time()
        try:
            data, files = await asyncio.to_thread(loaded, item.body, self._route.media)
        except MediaError as error:
            ticket.told.cancelled(began, self._loop.time())
            self._give_back(ticket.aside)
            step = item.unsendable(str(error))
            self._safe(item, step)
            return step
        except asyncio.CancelledError:
            ticket.told.cancelled(began, self._loop.time())
            self._give_back(ticket.aside)
            raise
        item.sends(files)
        return await self._send(item, ticket, data)

    async def _send(self, item: Asked, ticket: Ticket, data: bytes | None = None) -> AnyStep:
        told, loop = ticket.told, self._loop
        sent_at, mark = loop.time(), told.sent_count
        try:
            call = item.call(sent_at, data)
            if self._outlet.begun is not None:
                self._outlet.begun(item)
            if type(told) is Member and self._roster is not None:
                call = self._roster.addressed(call, told, item)
            reply = await self._transport.send(call, item.feed)
        except TransportError as error:
            if self.aborting and not error.partial:
                self._abandon(item, ticket, sent_at)
                raise GateClosed from None
            now = loop.time()
            came = item.failed(error, now, self._jitter(), outage=told.breaker.shields(item.request.line))
        except asyncio.CancelledError:
            self._abandon(item, ticket, sent_at)
            raise
        else:
            now = loop.time()
            limits = read_limits(reply.headers)
            if limits is not None:
                told.saw(limits, mark, ticket.tokens, sent_at, now)
            came = item.received(reply, now, self._jitter(), outage=told.breaker.shields(item.request.line))
        step = came
        if type(told) is Member and self._roster is not None:
            step = self._roster.weighed(came, told, item, ticket.shunned, now)
        self._safe(item, step)
        self._learn(item, ticket, came, sent_at, now)
        return step

    def _abandon(self, item: Asked, ticket: Ticket, sent_at: float) -> None:
        """Nobody waits for the reply any more: its outcome is unknown, and counted at the worst."""
        ticket.told.cancelled(sent_at, self._loop.time())
        if ticket.aside is not None:
            self._spending.settle(ticket.aside, None)
        self._outlet.note(item.abandoned(), item)

    def _give_back(self, aside: Worst | None) -> None:
        if aside is not None:
            self._spending.unsent(aside)

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

    def _learn(self, item: Asked, ticket: Ticket, step: AnyStep, sent_at: float, now: float) -> None:
        told, tokens = ticket.told, ticket.tokens
        if isinstance(step, Onward) and isinstance(step.kept, Done):
            step = step.kept
        if isinstance(step, Onward) or (isinstance(step, Done) and step.verdict is None):
            if told.gradient is None:
                told.succeeded(sent_at, now)
            else:
                told.succeeded(sent_at, now, *_done_for(step, item))
        else:
            assert step.verdict is not None
            told.failed(step.verdict, item.request.line, sent_at, now)
        if tokens:
            self._throttle.settle(sent_at, tokens, item.last_tokens(tokens))
        if ticket.aside is not None:
            self._spending.settle(ticket.aside, item.last)
        self._ended(self._ending(item, told, step, now))

    def _ending(self, item: Asked, told: Told, step: AnyStep, now: float) -> JobError | None:
        if type(told) is Member and self._roster is not None:
            return self._roster.after(step, told, item, now)
        return self._endings.after(step, item, self._throttle, now)


def _done_for(step: Onward | Done, item: Asked) -> tuple[float, float | None]:
    """What the server did for a request, and when a stream's first token came."""
    usage = item.last.usage
    work = 1.0 if usage is None else work_of(usage.prompt_tokens, usage.completion_tokens)
    return work, step.record.facts["ttft_s"] if isinstance(step, Done) else None
