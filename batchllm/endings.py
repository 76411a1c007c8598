"""When a run ends before its job does: account-level refusals, outages, pauses too long to sit out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.settings import Retries
from batchllm.steps import Again, AnyStep, Asked, Done, Halt, Onward
from batchllm.throttle import Throttle
from batchllm.types import Kind

ALIKE = 20
"""Refused alike from the very first line on: it is the settings that are wrong, not the lines."""


@dataclass(slots=True)
class Endings:
    """Looks at every step; says with which error the run ends, or None. `where` names the endpoint in messages.

    `foreign` lines are not the operator's: that the first of them are refused alike says nothing of the settings.
    """

    retries: Retries
    where: str
    key_hint: str = ""
    foreign: bool = False
    _answered: bool = False
    _alike: int = 0
    _first_message: str = ""

    @property
    def answered(self) -> bool:
        """Whether a line has been answered, or failed by what is its own: then a no is no longer laid to the settings."""
        return self._answered

    def saw_answer(self) -> None:
        """A line was answered."""
        self._answered = True

    def after(self, step: AnyStep, item: Asked, throttle: Throttle, now: float) -> JobError | None:
        if isinstance(step, Onward) or (isinstance(step, Done) and step.record.ok):
            self._answered = True
            return None
        if isinstance(step, Halt):
            return self._refused(step)
        if isinstance(step, Again):
            return self._waiting(step, throttle, now)
        return None if self._answered or self.foreign else self._from_the_start(step)

    def _refused(self, step: Halt) -> JobError:
        verdict = step.verdict
        # A redirect or a certificate says that this is not the endpoint; whose account it is was never asked.
        code = ExitCode.UNAVAILABLE if verdict.code is ErrorCode.CONNECTION else ExitCode.ACCOUNT
        hint = f"; {self.key_hint}" if verdict.code is ErrorCode.AUTHENTICATION and self.key_hint else ""
        return JobError(code, f"{self.where} refuses: {verdict.message}{hint}", resume_after_s=verdict.after_s)

    def _waiting(self, step: Again, throttle: Throttle, now: float) -> JobError | None:
        verdict = step.verdict
        if throttle.quota.exhausted:
            return JobError(ExitCode.ACCOUNT, f"{self.where} refuses after three probes: {verdict.message}")
        after = verdict.after_s or 0.0
        if after > self.retries.max_pause or verdict.kind is Kind.PAUSE:
            return JobError(
                ExitCode.TRY_LATER,
                f"{self.where} asks to come back in {duration(after)}: {verdict.message}",
                resume_after_s=after or None,
            )
        outage = throttle.breaker.outage_s()
        if outage > self.retries.max_outage:
            message = f"{self.where} has been unavailable for {duration(outage)}: {verdict.message}"
            return JobError(ExitCode.UNAVAILABLE, message)
        return None

    def _from_the_start(self, step: Done) -> JobError | None:
        """Every line so far was refused with the same words: stop before ten thousand more are."""
        record, verdict = step.record, step.verdict
        if verdict is None or verdict.kind is not Kind.FINAL:
            self._answered = True
            return None
        if record.message != self._first_message:
            self._first_message, self._alike = record.message, 0
        self._alike += 1
        if self._alike < ALIKE and verdict.code is not ErrorCode.NOT_FOUND:
            return None
        if verdict.code is ErrorCode.NOT_FOUND and self._alike < 3:
            return None
        return JobError(ExitCode.ACCOUNT, f"{self.where} refused the first {self._alike} lines alike: {record.message}")


def seconds_until(clock: str, now: datetime) -> float:
    """Seconds from `now` to the next time the local clock shows `HH:MM`."""
    hour, minute = map(int, clock.split(":"))
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if then <= now:
        then += timedelta(days=1)
    return (then - now).total_seconds()


def duration(seconds: float) -> str:
    """Seconds in words a person reads: 45 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
