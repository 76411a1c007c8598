"""What processes that use one account keep together: a minute's requests, a minute's tokens, a pause. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from batchllm.throttle.pool import HOLD_S, Ask, Grant, Pool
from batchllm.types import Json

AHEAD_S = 5.0
"""A state from so far in the future is of another boot of this machine."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a member tells when it comes: of both limits, and until when it met a closed door (`-inf`: it did not)."""

    requests: Ask
    tokens: Ask
    paused_until: float = -inf


@dataclass(frozen=True, slots=True)
class Answer:
    """What it is told: both grants, until when they are good, until when nobody should send, how many others there are."""

    requests: Grant
    tokens: Grant
    until: float
    paused_until: float
    others: int


class Shared:
    """All that the members of one name have in common."""

    def __init__(self, state: Json | None = None) -> None:
        state = state or {}
        self._requests = Pool(whole=True, state=state.get("requests"))
        self._tokens = Pool(state=state.get("tokens"))
        paused: float | None = state.get("paused_until")
        self._paused_until = -inf if paused is None else paused

    @classmethod
    def restored(cls, state: Json | None, now: float) -> Shared:
        """From what `as_json` gave; anew where that is of another boot."""
        return cls(None if state is not None and state["requests"]["at"] > now + AHEAD_S else state)

    def as_json(self) -> Json:
        paused = self._paused_until
        return {
            "requests": self._requests.as_json(),
            "tokens": self._tokens.as_json(),
            "paused_until": None if paused == -inf else paused,
        }

    def exchange(self, member: str, report: Report, now: float) -> Answer:
        """One member's visit."""
        requests = self._requests.exchange(member, report.requests, now)
        tokens = self._tokens.exchange(member, report.tokens, now)
        self._paused_until = max(self._paused_until, report.paused_until)
        return Answer(requests, tokens, now + HOLD_S, self._paused_until, self._requests.members(now) - 1)

    def leave(self, member: str, report: Report, now: float) -> None:
        """One member's last visit."""
        self._requests.leave(member, report.requests, now)
        self._tokens.leave(member, report.tokens, now)
        self._paused_until = max(self._paused_until, report.paused_until)
