"""What one attempt of a line comes to, and what an engine needs of a line to make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Protocol

from batchllm.billing import Charge, Worst
from batchllm.errors import TransportError
from batchllm.records import Record
from batchllm.types import Call, Json, Reply, Request, Verdict, value


@value
class Done:
    """The line has its record; `verdict` is what ended it where no reply did."""

    record: Record
    verdict: Verdict | None = None
    more: tuple[Record, ...] = ()
    """The records of further lines that the same request answered."""

    @property
    def records(self) -> tuple[Record, ...]:
        return (self.record, *self.more)


@value
class Finished:
    """A line that is answered, its record made by another process: `record` is the line of `results.jsonl`.

    Beside the bytes stands what books and onlookers take of them. `last` is what its last request was billed.
    """

    line: int
    custom_id: str
    record: bytes = field(repr=False)
    model: str | None
    latency_s: float
    ttft_s: float | None
    tokens_per_s: float | None
    last: Charge


@value
class Again:
    """Ask once more, `wait_s` seconds from now at the earliest.

    `shunned` are the endpoints, of several, that it may not be asked of, and until when (monotonic seconds).
    """

    verdict: Verdict
    wait_s: float
    note: Json
    shunned: Mapping[int, float] | None = None


@value
class Halt:
    """The account or the endpoint says no to everything: the run stops and this line stays pending."""

    verdict: Verdict
    note: Json


@value
class Onward:
    """A part was answered: what there is to keep of it, in a note or as finished records. The next request goes at once."""

    kept: Json | Done


Step = Done | Again | Halt
AnyStep = Step | Onward
"""What a line of several requests may come to as well."""


class Asked(Protocol):
    """What the engine needs of a line while it is asked: an `Item`, or what is used like one."""

    @property
    def request(self) -> Request: ...
    @property
    def last(self) -> Charge: ...
    @property
    def feed(self) -> Callable[[bytes], bool] | None: ...
    @property
    def body(self) -> Json: ...
    def call(self, now: float, data: bytes | None = None) -> Call: ...
    def token_estimate(self) -> float: ...
    def worst(self) -> Worst: ...
    def last_tokens(self, reserved: float) -> float: ...
    def received(self, reply: Reply, now: float, jitter: float, *, outage: bool = False) -> AnyStep: ...
    def failed(self, error: TransportError, now: float, jitter: float, *, outage: bool = False) -> AnyStep: ...
    def abandoned(self) -> Json: ...
    def sends(self, media: list[Json]) -> None: ...
    def unsendable(self, why: str) -> Done: ...
