"""What travels between the driver and its workers: plain tuples and bytes, made of the values of either side. Pure.

A line's body goes as the bytes of its JSON: they are cheap to send, and their number is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from batchllm.billing import Charge, Worst
from batchllm.engines.engine import Recipe
from batchllm.errors import ExitCode, JobError
from batchllm.records import Record
from batchllm.steps import Asked, Done
from batchllm.strictjson import dumps, loads
from batchllm.types import Request, Usage, Verdict

Line = tuple[Any, ...]
"""The fields of a `Request`, its body as bytes."""
Unit = tuple[Line, ...]
"""Lines that are sent as one request; nearly always one."""
Outcome = tuple[int, Any]
"""One of BEGUN (a line's number), DONE (records, verdict, charge), NOTE (bytes, the line's number)."""
BEGUN, DONE, NOTE = range(3)


def _row(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """All fields of a value in order, whatever they are called next year."""
    return attrgetter(*(one.name for one in fields(kind)))


def _place(kind: type, name: str) -> int:
    return [one.name for one in fields(kind)].index(name)


_request, _record, _usage, _charge, _verdict = map(_row, (Request, Record, Usage, Charge, Verdict))
_BODY, _RECORD_USAGE = _place(Request, "body"), _place(Record, "usage")
_CHARGE_USAGE, _CHARGE_WORST = _place(Charge, "usage"), _place(Charge, "worst")
NUMBER, CUSTOM_ID = _place(Request, "line"), _place(Request, "custom_id")


def unit_of(request: Request | tuple[Request, ...]) -> Unit:
    """A request, or several that are sent as one, ready to travel."""
    return tuple(map(_line, request)) if isinstance(request, tuple) else (_line(request),)


def _line(request: Request) -> Line:
    row = _request(request)
    return (*row[:_BODY], dumps(request.body), *row[_BODY + 1 :])


def request_of(line: Line) -> Request:
    """The request of a line."""
    values = list(line)
    values[_BODY] = loads(values[_BODY])
    return Request(*values)


def asked_of(unit: Unit) -> Request | tuple[Request, ...]:
    """What a pool is fed with."""
    return request_of(unit[0]) if len(unit) == 1 else tuple(map(request_of, unit))


def size_of(unit: Unit) -> int:
    """Bytes, near enough."""
    return sum(len(line[_BODY]) for line in unit)


def done_out(step: Done, item: Asked) -> tuple[Any, ...]:
    """Records with what ended them and what the last request was billed."""
    return (
        tuple(map(_record_out, step.records)),
        None if step.verdict is None else _verdict(step.verdict),
        _charge_out(item.last),
        item.request.body.get("model"),
    )


def done_in(sent: tuple[Any, ...]) -> tuple[tuple[Record, ...], Verdict | None, Charge, object]:
    """The same on the other side: records, verdict, charge, and the model that was asked."""
    records, verdict, charge, model = sent
    billed = _charge_in(charge)
    return (
        tuple(_record_in(row, billed.usage) for row in records),
        None if verdict is None else Verdict(*verdict),
        billed,
        model,
    )


def _record_out(record: Record) -> tuple[Any, ...]:
    row = _record(record)
    return (*row[:_RECORD_USAGE], _usage(record.usage), *row[_RECORD_USAGE + 1 :])


def _record_in(row: tuple[Any, ...], likely: Usage | None) -> Record:
    """A line that was asked once has used what its last request did: one value for both."""
    values = list(row)
    used = values[_RECORD_USAGE]
    values[_RECORD_USAGE] = likely if likely is not None and _usage(likely) == used else Usage(*used)
    return Record(*values)


def _charge_out(charge: Charge) -> tuple[Any, ...]:
    row = list(_charge(charge))
    row[_CHARGE_USAGE] = None if charge.usage is None else _usage(charge.usage)
    row[_CHARGE_WORST] = None if charge.worst is None else (charge.worst.tokens, charge.worst.usd)
    return tuple(row)


def _charge_in(row: tuple[Any, ...]) -> Charge:
    values = list(row)
    usage, worst = values[_CHARGE_USAGE], values[_CHARGE_WORST]
    values[_CHARGE_USAGE] = None if usage is None else Usage(*usage)
    values[_CHARGE_WORST] = None if worst is None else Worst(*worst)
    return Charge(*values)


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What one worker learned from refusals, for all others: how long to wait, how fast it now goes, how long it was told
    to wait. `cut`: fewer requests in flight."""

    pause_s: float = 0.0
    rate: float | None = None
    cut: bool = False
    hint_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """What a worker may use of each limit; None is no limit. `usd` and `tokens` count from the worker's start."""

    cap: int
    rpm: float | None = None
    tpm: float | None = None
    usd: float | None = None
    tokens: float | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What the driver says: `acked` is the last outcome that stands in the journal, `forget` lines that others answered.

    An order that comes twice (its report was lost) has the same `number`, and its units count once. The report may wait
    `wait_s` for something to tell. `stop`: begin nothing new; `abort`: cut what is in flight too.
    """

    number: int
    acked: int
    share: Share
    units: tuple[Unit, ...] = ()
    forget: tuple[int, ...] = ()
    slow: Slowdown | None = None
    wait_s: float = 0.0
    stop: bool = False
    abort: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a worker's pool came to its end, in a form that travels; `dry`: its share of a budget is used up."""

    exit_code: int = 0
    message: str = ""
    resume_after_s: float | None = None
    dry: bool = False
    unheard: bool = False

    @property
    def error(self) -> JobError | None:
        if not self.exit_code:
            return None
        return JobError(ExitCode(self.exit_code), self.message, resume_after_s=self.resume_after_s)


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says: every outcome that is not known to stand in the journal, the first of them numbered `first`.

    `in_flight` of at most `limit` requests; `usd` and `tokens` are the limits it keeps to, counted from its start.
    """

    first: int
    outcomes: list[Outcome]
    in_flight: int = 0
    limit: int = 0
    parked: int = 0
    usd: float = 0.0
    tokens: float = 0.0
    slow: Slowdown | None = None
    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """A worker that has begun: where it runs, and by what it can be told whether it makes the same requests."""

    node: str = ""
    pid: int = 0
    version: str = ""
    settings_digest: str = ""
    error: Ended | None = None


@dataclass(frozen=True, slots=True)
class Kit:
    """What a worker makes its pool of. `recipe`, called with `secrets`, gives the route and a closed transport.

    `start` is how many requests it may have in flight at first; `auto`: how many are worth it is found out. The secrets travel in
    an argument of their own.
    """

    recipe: Recipe
    where: str
    key_hint: str
    start: int
    auto: bool = False
