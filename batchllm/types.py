"""The nouns that travel between floors: frozen values, no behaviour beyond their own arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, dataclass_transform

from batchllm.errors import ErrorCode

Json = dict[str, Any]
T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A frozen dataclass, kept frozen by the type checker: at run time that costs a microsecond for each of the dozen values
    that a request is made of.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


@value
class Extras:
    """What a line may be beyond a single text prompt.

    `media` are the local files its messages name; `turns` what is asked one after the other; `history` how much of the
    conversation goes along, where the line says so itself; `begun` the notes of turns that earlier runs finished.
    """

    media: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    history: Json | None = None
    begun: tuple[Json, ...] = ()


@value
class Request:
    """One line of a job, ready to send.

    `body` is the line's own request merged over the settings' `[body]`; `digest` (32 hex digits) covers only the
    line's own part, so that it stays the same when a setting changes. `line` counts from 1.
    """

    line: int
    custom_id: str
    url: str
    body: Json
    digest: str
    metadata: Json | None = None
    schema: str | None = None
    extras: Extras | None = None


@value
class BadLine:
    """A line of the job that cannot become a request."""

    line: int
    custom_id: str
    code: ErrorCode
    message: str


@value
class Usage:
    """Tokens of one or more attempts. `None` means the provider did not say, which is never the same as zero."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            _add(self.prompt_tokens, other.prompt_tokens),
            _add(self.completion_tokens, other.completion_tokens),
            _add(self.total_tokens, other.total_tokens),
            _add(self.cached_tokens, other.cached_tokens),
            _add(self.reasoning_tokens, other.reasoning_tokens),
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            _subtract(self.prompt_tokens, other.prompt_tokens),
            _subtract(self.completion_tokens, other.completion_tokens),
            _subtract(self.total_tokens, other.total_tokens),
            _subtract(self.cached_tokens, other.cached_tokens),
            _subtract(self.reasoning_tokens, other.reasoning_tokens),
        )

    @property
    def known(self) -> bool:
        """Whether the two figures a bill is made of are there."""
        return self.prompt_tokens is not None and self.completion_tokens is not None


def _add(a: int | None, b: int | None) -> int | None:
    if a is None:
        return b
    return a if b is None else a + b


def _subtract(a: int | None, b: int | None) -> int | None:
    return a if a is None or b is None else a - b


NO_USAGE = Usage()


@value
class Reply:
    """One complete HTTP reply. Header names are lower case; `body` is decoded from its content encoding.

    `ttft_s` is set on streams only: seconds from sending to the first payload.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_s: float
    ttft_s: float | None = None


@value
class Answer:
    """What a reply means, endpoint by endpoint.

    `text` is the answer without its reasoning. `problem` is set where the reply is complete as a reply but no answer
    (`refusal`, `content_filter`, `truncated`, `bad_response`); `problem_text` says so in a sentence.
    `usage` is None where the reply carried none that makes sense.
    """

    text: str | None = None
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    problem: ErrorCode | None = None
    problem_text: str = ""


class Kind(StrEnum):
    """The class of one attempt's outcome; `retry.TRAITS` says what each costs and does."""

    OK = "ok"
    REFUSED = "refused"  # told to wait: certainly not billed, uses up no attempt
    UNREACHABLE = "unreachable"  # nobody there: not billed, uses up no attempt, the breaker counts it
    MAYBE_PAID = "maybe_paid"  # outcome unknown: may have been billed
    PAID = "paid"  # billed, but of no use: again under a cap of its own
    FINAL = "final"  # waiting cannot cure this line
    PROBE = "probe"  # an ambiguous quota answer: ask again slowly before believing it
    PAUSE = "pause"  # a wait longer than a run may take in one piece (a daily cap)
    STOP = "stop"  # an account-level no: nothing else will work either
    LOCAL = "local"  # our own machine ran out of something


@value
class Verdict:
    """What one attempt came to. `after_s` is the server's own wait (never undercut), None if it gave none."""

    kind: Kind
    code: ErrorCode | None = None
    message: str = ""
    after_s: float | None = None
    slow_ramp: bool = False  # "you grew too fast": come back slower than after an ordinary refusal


@value
class Call:
    """One HTTP request as a transport sends it. `url` is absolute; headers hold the key and are never logged."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    stream: bool = False
    method: str = "POST"


@value
class Limits:
    """What a reply's headers reveal of the server's limits; None where they do not say. Seconds, counts."""

    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset_s: float | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_s: float | None = None
