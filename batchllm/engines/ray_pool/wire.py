"""What travels between the driver and its workers: plain tuples and bytes, made of the values of either side. Pure.

A line goes as the bytes that stand in the job, or its body as the bytes of its JSON: they are cheap to send, and their number
is known.
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
from batchllm.sources.job_file import Rereading, Unread
from batchllm.steps import Asked, Done, Finished
from batchllm.strictjson import dumps, loads
from batchllm.types import Request, Usage, Verdict

Line = tuple[Any, ...]
"""The fields of a `Request`, its body as bytes; or, in the same places, what is known of an `Unread` one."""
Unit = tuple[Line, ...]
"""Lines that are sent as one request; nearly always one."""
Outcome = int | tuple[Any, ...]
"""The number of a line that was begun, or one of ANSWERED (the fields of a `Finished`, in one row), DONE (records, verdict,
charge), NOTE (bytes, the line's number). There are two for nearly every line, so that each object in them counts."""
ANSWERED, DONE, NOTE = range(3)


def _row(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """All fields of a value in order, whatever they are called next year."""
    return attrgetter(*(one.name for one in fields(kind)))


def _place(kind: type, name: str) -> int:
    return [one.name for one in fields(kind)].index(name)


_request, _record, _usage, _charge, _verdict = map(_row, (Request, Record, Usage, Charge, Verdict))
_BODY, _RECORD_USAGE = _place(Request, "body"), _place(Record, "usage")
_CHARGE_USAGE, _CHARGE_WORST = _place(Charge, "usage"), _place(Charge, "worst")
NUMBER = _place(Request, "line")
_UNREAD = 4
"""Fields of a line that was not read: its number, nothing, the digest it should have, its bytes."""
assert (NUMBER, _BODY) == (0, _UNREAD - 1)
ANSWERED_LINE, _ANSWERED_COST = 1, 8


def unit_of(request: Request | tuple[Request, ...] | Unread) -> Unit:
    """A request, or several that are sent as one, ready to travel."""
    if isinstance(request, Unread):
        return ((request.line, None, request.digest, request.raw),)
    return tuple(map(_line, request)) if isinstance(request, tuple) else (_line(request),)


def _line(request: Request) -> Line:
    row = _request(request)
    return (*row[:_BODY], dumps(request.body), *row[_BODY + 1 :])


def request_of(line: Line, rereading: Rereading) -> Request:
    """The request of a line. Raises `JobError` (65) for one that was not read before it travelled, and is not what it was."""
    if len(line) == _UNREAD:
        number, _, digest, raw = line
        return rereading.request(Unread(number, raw, digest))
    values = list(line)
    values[_BODY] = loads(values[_BODY])
    return Request(*values)


def asked_of(unit: Unit, rereading: Rereading) -> Request | tuple[Request, ...]:
    """What a pool is fed with. Raises as `request_of` does."""
    if len(unit) == 1:
        return request_of(unit[0], rereading)
    return tuple(request_of(line, rereading) for line in unit)


def size_of(unit: Unit) -> int:
    """Bytes, near enough."""
    return len(unit[0][_BODY]) if len(unit) == 1 else sum(len(line[_BODY]) for line in unit)


def outcome_of(step: Done, item: Asked, *, whole: bool) -> Outcome:
    """What a request came to. `whole`: an answer is told with all that is known of it too."""
    return (DONE, done_out(step, item)) if whole or not _is_plain(step, item.last) else _answered_out(step.record, item)


def _is_plain(step: Done, last: Charge) -> bool:
    """Whether all that the driver does with an answer is to keep it and to add it up."""
    record = step.record
    billed = last.billed == "yes" and last.usage is not None and last.worst is None
    return billed and step.verdict is None and not step.more and record.ok and "at_most" not in record.facts


def _answered_out(record: Record, item: Asked) -> Outcome:
    facts, last = record.facts, item.last
    assert last.usage is not None
    return (
        ANSWERED, record.line, record.custom_id, record.to_json(), facts.get("model") or item.request.body.get("model"),
        facts["latency_s"], facts["ttft_s"], facts.get("tokens_per_s"), last.cost_usd, *_usage(last.usage),
    )  # fmt: skip


def answered_in(row: tuple[Any, ...]) -> Finished:
    """The same on the other side."""
    billed = Charge("yes", Usage(*row[_ANSWERED_COST + 1 :]), row[_ANSWERED_COST])
    return Finished(*(*row[ANSWERED_LINE:_ANSWERED_COST], billed))


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

    `start` is how many requests it may have in flight at first, `workers` among how many is divided what an address bears;
    `auto`: how many are worth it is found out; `whole`: of each answer all that is known is to be told. The secrets travel in an
    argument of their own.
    """

    recipe: Recipe
    where: str
    key_hint: str
    start: int
    auto: bool = False
    whole: bool = False
    workers: int = 1
