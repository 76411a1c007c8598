"""Calls to the Batch API that are made again while waiting may help: tenacity holds the loop, our tables decide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from batchllm.engines.batch_lane.remote import RemoteError
from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.retry import TRAITS, Spent, wait_s
from batchllm.settings import Retries
from batchllm.types import Kind, Verdict

T = TypeVar("T")
_ENDS = frozenset({Kind.PAUSE, Kind.STOP, Kind.FINAL})


class Stopped(Exception):  # noqa: N818 - a state, not an error
    """The run is to end: what waits gives up."""


class Patience:
    """Waits between calls, and between looks; `stop` ends every wait with `Stopped`."""

    def __init__(self, retries: Retries, where: str, key_hint: str, jitter: Callable[[], float]) -> None:
        self._retries = retries
        self._where = where
        self._key_hint = key_hint
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    async def sleep(self, seconds: float) -> None:
        """Raises `Stopped` as soon as the run is to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
        raise Stopped

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """The outcome of a call that may be repeated. Raises `RemoteError` where no repeat helps, or none did."""
        began, spent = self._loop.time(), Spent()

        async def once() -> T:
            return await call()

        def wait(state: RetryCallState) -> float:
            verdict = verdict_of(state)
            spent.count(verdict, 0.0)
            return wait_s(verdict, spent, self._retries, self._jitter())

        def over(state: RetryCallState) -> bool:
            return self.stopped or self._loop.time() - began > self._retries.max_outage

        retrying = AsyncRetrying(retry=retry_if_exception(_curable), wait=wait, stop=over, sleep=self.sleep, reraise=True)
        return await retrying(once)

    def ending(self, what: str, verdict: Verdict) -> JobError:
        """How a run ends over a call that came to nothing."""
        text = f"{self._where}: {what}: {verdict.message}"
        if verdict.kind in (Kind.STOP, Kind.FINAL) and verdict.code is not ErrorCode.CONNECTION:
            hint = f"; {self._key_hint}" if verdict.code is ErrorCode.AUTHENTICATION and self._key_hint else ""
            return JobError(ExitCode.ACCOUNT, text + hint)
        if verdict.kind is Kind.PAUSE:
            return JobError(ExitCode.TRY_LATER, text, resume_after_s=verdict.after_s)
        return JobError(ExitCode.UNAVAILABLE, text)


def _curable(error: BaseException) -> bool:
    return isinstance(error, RemoteError) and error.verdict.kind not in _ENDS and TRAITS[error.verdict.kind].again


def verdict_of(state: RetryCallState) -> Verdict:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, RemoteError)
    return error.verdict
