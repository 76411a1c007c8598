"""A run's part in limits that it shares: its throttle holds a little, and a thread goes for more before that is used up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf

from batchllm.sharing.ledger import Ledger
from batchllm.throttle import Throttle
from batchllm.throttle.holding import Holding
from batchllm.throttle.shared import Answer, Report

BEAT_S = 0.4
"""Seconds between two visits of one who needs nothing: a pause that another met is heard of so soon."""
GLANCE_S = 0.1
"""Seconds between two looks at whether this process met a pause, which the others should hear of."""
APART_S = 0.02
"""Visits are at least so far apart, however fast requests go."""


class Membership:
    """`begin`, then `keep` until it is cancelled, then `end`. Nothing here waits for the file on the loop."""

    def __init__(
        self, ledger: Ledger, throttle: Throttle, rpm: float | None, tpm: float | None, tell: Callable[[str], None]
    ) -> None:
        self._ledger = ledger
        self._throttle = throttle
        self._requests, self._tokens = Holding(rpm), Holding(tpm)
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "batchllm-limits")
        self._wanted = asyncio.Event()
        self._told_until = -inf
        self._fault: str | None = None
        self._bound: dict[str, float | None] = {}

    async def begin(self) -> None:
        """Take part from now on: the limits that others set hold before anything is sent."""
        await self._visit()
        for holding in (self._requests, self._tokens):
            holding.on_need = self._wanted.set
        self._throttle.share(self._requests, self._tokens)

    async def keep(self) -> None:
        """Visit again and again: as soon as more is needed, and now and then without."""
        while True:
            answer = await self._visit()
            short = max(answer.requests.wait_s, answer.tokens.wait_s)
            await asyncio.sleep(max(APART_S, short))
            await self._until_needed(self._loop.time() + BEAT_S)

    async def _until_needed(self, latest: float) -> None:
        while not self._wanted.is_set() and not self._pause_is_news() and (left := latest - self._loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, GLANCE_S)):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def end(self) -> None:
        """Give everything back. A cancel does not stop this: it is one visit, bounded by the file's own patience."""
        report = Report(self._requests.leave(), self._tokens.leave(), self._paused_until())
        leaving = self._loop.run_in_executor(self._thread, self._ledger.leave, report)
        self._thread.shutdown(wait=False)
        await asyncio.shield(leaving)

    async def _visit(self) -> Answer:
        self._wanted.clear()
        now = self._loop.time()
        report = Report(self._requests.ask(now), self._tokens.ask(now), self._paused_until())
        self._told_until = max(self._told_until, report.paused_until)
        answer = await self._loop.run_in_executor(self._thread, self._ledger.exchange, report)
        self._requests.granted(answer.requests, answer.until)
        self._tokens.granted(answer.tokens, answer.until)
        self._obey(answer.paused_until)
        self._say(answer)
        if self._throttle.on_change is not None:
            self._throttle.on_change()
        return answer

    def _paused_until(self) -> float:
        pause = self._throttle.pause
        return pause.until if pause.still_closed else -inf

    def _pause_is_news(self) -> bool:
        return self._paused_until() > self._told_until

    def _obey(self, until: float) -> None:
        """Keep to a pause that another met. It is not told on as this one's own."""
        now = self._loop.time()
        if until > max(now, self._told_until):
            self._throttle.pause.told(now, until - now)
            self._told_until = until

    def _say(self, answer: Answer) -> None:
        if self._ledger.fault != self._fault:
            self._fault = self._ledger.fault
            self._tell(
                f"shared limits: {self._fault}; this run goes on with its part of them"
                if self._fault
                else "shared limits: together with the others again"
            )
        for name, holding in (("rpm", self._requests), ("tpm", self._tokens)):
            bound = holding.limit if holding.limit != holding.told and self._fault is None else None
            if self._bound.get(name) != bound and bound is not None:
                own = "none" if holding.told is None else f"{holding.told:g}"
                self._tell(f"shared limits: {name} is {bound:g}, as another process says; this one says {own}")
            self._bound[name] = bound
