"""Where a run stands at this moment, for whoever looks on: the control socket, the live view, the metrics file."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Any

from batchllm.engines.engine import Forwarding
from batchllm.records import usage_json
from batchllm.reports.summary import counts
from batchllm.steps import Asked, Done, Finished
from batchllm.types import Json, Usage

if TYPE_CHECKING:
    from batchllm.pipeline import Run
    from batchllm.throttle import Throttle

WINDOW_S = 60
"""Rates are of the last minute."""
TROUBLES = 50
SLOWEST = 5
TEXT = 300
TRIES = 5


@dataclass(slots=True)
class _Second:
    """What ended within one second of the monotonic clock."""

    at: int
    requests: int = 0
    tokens: int = 0


class Recent:
    """What happened lately, in memory that does not grow: rates, errors as they came, the slowest requests of the run."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.began_s = 0.0
        self._seconds: deque[_Second] = deque(maxlen=WINDOW_S)
        self._troubles: deque[Json] = deque(maxlen=TROUBLES)
        self._slowest: list[tuple[float, int, str]] = []

    def started(self, run: Run) -> None:
        self.run = run
        self.began_s = time.monotonic()

    def step(self, came: Done | Json, item: Asked) -> None:
        last = self._second()
        last.requests += 1
        last.tokens += _tokens(item.last.usage)
        if isinstance(came, Done):
            self._done(came)
        elif "turn" not in came:
            self._troubles.append(_trouble(came))

    def answered(self, answers: Sequence[Finished]) -> None:
        last = self._second()
        last.requests += len(answers)
        for one in answers:
            last.tokens += _tokens(one.last.usage)
            self._took(one.latency_s, one.line, one.custom_id)

    def _second(self) -> _Second:
        """This second's figures."""
        now, seconds = int(time.monotonic()), self._seconds
        if not seconds or seconds[-1].at != now:
            seconds.append(_Second(now))
        return seconds[-1]

    def _took(self, seconds: float, line: int, custom_id: str) -> None:
        slowest = self._slowest
        if len(slowest) < SLOWEST:
            heappush(slowest, (seconds, line, custom_id))
        elif seconds >= slowest[0][0]:
            heappushpop(slowest, (seconds, line, custom_id))

    def _done(self, came: Done) -> None:
        record = came.record
        self._took(record.facts["latency_s"], record.line, record.custom_id)
        if not record.ok:
            code, text = str(record.code), record.message
            note = {
                "custom_id": record.custom_id,
                "line": record.line,
                "code": code,
                "message": text,
                "status": record.status_code,
            }
            self._troubles.append(_trouble({**note, "final": True}))

    def finished(self, summary: Json, code: int) -> None:
        """There is nothing to end."""

    def rates(self, now: float) -> tuple[float, float]:
        """Requests and tokens a second over the last minute, or since the run began if that is less; the running second
        is left out."""
        until = int(now)
        wanted = [one for one in tuple(self._seconds) if until - WINDOW_S <= one.at < until]
        span = min(WINDOW_S, max(1.0, now - self.began_s))
        return sum(one.requests for one in wanted) / span, sum(one.tokens for one in wanted) / span

    def troubles(self) -> list[Json]:
        """The last attempts that came to no answer, the oldest first."""
        return list(self._troubles)

    def slowest(self) -> list[Json]:
        ordered = sorted(list(self._slowest), reverse=True)  # noqa: C414 - a copy, since it grows meanwhile
        return [{"latency_s": latency, "line": line, "custom_id": custom_id[:TEXT]} for latency, line, custom_id in ordered]


def _tokens(usage: Usage | None) -> int:
    return 0 if usage is None else (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)


def _trouble(note: Json) -> Json:
    names = ("custom_id", "line", "code", "message", "status", "wait_s")
    found: Json = {name: _short(note[name]) for name in names if name in note}
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), **found, "final": bool(note.get("final"))}


def _short(value: Any) -> Any:
    return value[:TEXT] if isinstance(value, str) else value


def facts(run: Run, recent: Recent) -> Json:
    """The state of a run as one object. May be called from any thread: it only looks."""
    for tries_left in reversed(range(TRIES)):
        try:
            return _facts(run, recent, time.monotonic())
        except RuntimeError:  # something grew while it was read
            if not tries_left:
                raise
    raise AssertionError


def _facts(run: Run, recent: Recent, now: float) -> Json:
    told, tally, pool = run.parts.facts, run.tally, run.pool
    requests_per_s, tokens_per_s = recent.rates(now)
    request_counts = counts(run.survey.index)
    throttle = pool.throttle if pool is not None else None
    found: Json = {
        "state": _state(run, throttle),
        "pid": os.getpid(),
        "job": told.job,
        "output": told.output,
        "provider": told.provider,
        "endpoint": told.endpoint,
        "model": told.model,
        "simulated": told.simulated,
        "seconds": round(now - run.started, 1),
        "until": run.parts.settings.until,
        "request_counts": request_counts,
        "this_run": {"completed": tally.done, "failed": tally.failed, "skipped": tally.skipped},
        "requests": tally.requests,
        "requests_per_s": round(requests_per_s, 2),
        "tokens_per_s": round(tokens_per_s, 1),
        "seconds_left": _seconds_left(run, request_counts["pending"], now),
        "in_flight": pool.in_flight if pool is not None else 0,
        "waiting": pool.parked if pool is not None else 0,
        **_limits(throttle),
        "waits_for": [] if throttle is None else waits_for(throttle, now),
        "usage": usage_json(tally.usage),
        "cost_usd": round(tally.cost_usd, 6) if tally.cost_known else None,
        "retries": dict(tally.retries),
        "failures": {code: group.count for code, group in tuple(tally.failures.items())},
        "latency_s": tally.latency.summary(),
        "troubles": recent.troubles()[-10:],
        "slowest": recent.slowest(),
    }
    return found | ({"workers": pool.workers()} if isinstance(pool, Forwarding) else {})


def _state(run: Run, throttle: Throttle | None) -> str:
    if run.ending is not None:
        return "draining"
    return "paused" if throttle is not None and throttle.held else "running"


def _limits(throttle: Throttle | None) -> Json:
    if throttle is None:
        return {"limit": 0, "concurrency": 0, "rpm": None, "tpm": None, "pace_per_s": None}
    limiter, rate = throttle.limiter, throttle.pace.rate
    return {"limit": limiter.limit, "concurrency": limiter.cap, "rpm": throttle.rpm, "tpm": throttle.tpm,
            "pace_per_s": None if rate is None else round(rate, 3)}  # fmt: skip


def waits_for(throttle: Throttle, now: float) -> list[str]:
    """Why nothing new may go at this moment, in words; empty where it may."""
    reasons = ["ctl resume"] if throttle.held else []
    if throttle.breaker.open:
        reasons.append("the endpoint: it does not answer")
    if throttle.quota.active:
        reasons.append("a probe: money or only this minute used up?")
    if throttle.pause.still_closed and throttle.pause.until > now:
        reasons.append(f"the server: it refuses most, {throttle.pause.until - now:.0f} s more")
    return reasons


def _seconds_left(run: Run, pending: int, now: float) -> int | None:
    """At the pace of this run so far; None before anything has ended."""
    done, wall = run.tally.done + run.tally.failed, now - run.started
    return round(pending * wall / done) if done and pending else None
