"""Several lines of embeddings in one request: an item for the pack, a record for each line as if it had been asked alone.

Only lines that differ in their input alone go together. A reply that refuses a pack is not believed of all its lines: the pack
is asked in halves, so that in the end only the bad line fails. Each line has its share of the usage, by estimated tokens; the
shares add up to what the reply says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from batchllm.billing import Charge, Worst
from batchllm.errors import ErrorCode, TransportError
from batchllm.item import Item
from batchllm.records import Record, attempt_note, usage_from, usage_json
from batchllm.route import Route
from batchllm.steps import Again, AnyStep, Done, Onward
from batchllm.strictjson import canonical, dumps
from batchllm.types import Call, Json, Kind, Reply, Request, Usage, Verdict

BYTES_PER_TOKEN = 4
OPEN_PACKS = 16
"""Packs that are being filled at the same time, for jobs whose lines alternate between models."""
_ONE_MAY_BE_BAD = frozenset({ErrorCode.INVALID_REQUEST, ErrorCode.TOO_LARGE, ErrorCode.CONTENT_FILTER, ErrorCode.BAD_RESPONSE})


def packed(batches: Iterable[list[Request]], size: int) -> Iterator[list[Request | tuple[Request, ...]]]:
    """The same requests, those that can go together in tuples of up to `size`."""
    filling: dict[bytes, list[Request]] = {}
    for batch in batches:
        ready: list[Request | tuple[Request, ...]] = []
        for request in batch:
            key = _key(request)
            if key is None:
                ready.append(request)
                continue
            filling.setdefault(key, []).append(request)
            if len(filling[key]) >= size:
                ready.append(_closed(filling.pop(key)))
            elif len(filling) > OPEN_PACKS:
                ready.append(_closed(filling.pop(next(iter(filling)))))
        if ready:
            yield ready
    if filling:
        yield [_closed(group) for group in filling.values()]


def _closed(group: list[Request]) -> Request | tuple[Request, ...]:
    return group[0] if len(group) == 1 else tuple(group)


def _key(request: Request) -> bytes | None:
    """What lines of one pack have in common; None for a line that goes alone."""
    if not request.url.endswith("/embeddings") or type(request.body.get("input")) is not str or request.extras is not None:
        return None
    return canonical([request.url, {name: value for name, value in request.body.items() if name != "input"}])


def shares(total: int, weights: list[int]) -> list[int]:
    """`total` in whole parts by weight, the largest remainders rounded up: the parts always add up."""
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda at: (-(total * weights[at] % whole), at))
    for at in order[: total - sum(parts)]:
        parts[at] += 1
    return parts


class Pack:
    """Used like an `Item`; see there. A part of a pack that was split has its records before the next part is asked."""

    def __init__(self, route: Route, requests: tuple[Request, ...]) -> None:
        self.route = route
        self._waiting = [requests]
        self._asked = self._next()

    def _next(self) -> Item:
        self._part = part = self._waiting.pop()
        if len(part) == 1:
            self._item = Item(self.route, part[0])
        else:
            body = {**part[0].body, "input": [one.body["input"] for one in part]}
            self._item = Item(self.route, replace(part[0], body=body, metadata=None))
        return self._item

    @property
    def request(self) -> Request:
        return self._asked.request

    @property
    def last(self) -> Charge:
        return self._asked.last

    @property
    def feed(self) -> Callable[[bytes], bool] | None:
        return self._item.feed

    @property
    def body(self) -> Json:
        return self._item.body

    def call(self, now: float, data: bytes | None = None) -> Call:
        self._asked = self._item
        return self._item.call(now, data)

    def token_estimate(self) -> float:
        return self._item.token_estimate()

    def worst(self) -> Worst:
        return self._item.worst()

    def last_tokens(self, reserved: float) -> float:
        return self._asked.last_tokens(reserved)

    def received(self, reply: Reply, now: float, jitter: float, *, outage: bool = False) -> AnyStep:
        return self._after(self._item.received(reply, now, jitter, outage=outage))

    def failed(self, error: TransportError, now: float, jitter: float, *, outage: bool = False) -> AnyStep:
        return self._after(self._item.failed(error, now, jitter, outage=outage))

    def abandoned(self) -> Json:
        return self._item.abandoned()

    def sends(self, media: list[Json]) -> None:
        self._item.sends(media)

    def unsendable(self, why: str) -> Done:
        return self._item.unsendable(why)

    def _after(self, step: AnyStep) -> AnyStep:
        if not isinstance(step, Done):
            return step
        done: Done | None = step
        if len(self._part) > 1:
            done = self._each(step)
        if done is None:
            return self._halves(step)
        if not self._waiting:
            return done
        self._next()
        return Onward(done)

    def _each(self, done: Done) -> Done | None:
        """The records of all lines; None where the pack has to be asked in halves."""
        record, verdict = done.record, done.verdict
        if record.ok:
            data = _in_order(record.body, len(self._part))
            if data is None:
                return None
            records = _records(record, self._part, data)
        elif record.code in _ONE_MAY_BE_BAD and (verdict is None or verdict.kind in (Kind.FINAL, Kind.PAID)):
            return None
        else:
            records = _records(record, self._part, None)
        return Done(records[0], done.verdict, tuple(records[1:]))

    def _halves(self, done: Done) -> Again:
        part, record = self._part, done.record
        why = record.message or "the reply does not hold one embedding for each input"
        message = f"a pack of {len(part)} lines is asked in halves: {why}"
        given = done.verdict or Verdict(Kind.PAID, ErrorCode.BAD_RESPONSE)
        verdict = Verdict(given.kind, given.code, message)
        note = attempt_note(record, self._item.last, verdict)
        half = (len(part) + 1) // 2
        self._waiting += [part[half:], part[:half]]
        self._next()
        return Again(verdict, 0.0, note)


def _in_order(body: Any, count: int) -> list[Json] | None:
    """The embeddings by the index of their input; None unless there is exactly one for each."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list) or len(data) != count:
        return None
    found = {one.get("index", at): one for at, one in enumerate(data) if isinstance(one, dict)}
    return [found[at] for at in range(count)] if set(found) == set(range(count)) else None


def _records(record: Record, part: tuple[Request, ...], data: list[Json] | None) -> list[Record]:
    """A record for each line, with its own embedding and its share of everything that was counted."""
    weights = [max(1, len(one.body["input"].encode("utf-8", "replace")) // BYTES_PER_TOKEN) for one in part]
    usages = _usage_shares(record.usage, weights)
    replies = [record.reply] * len(part) if data is None else _replies(record.body, data, weights)
    made = []
    for request, usage, facts, reply in zip(part, usages, _facts(record.facts, part, weights), replies, strict=True):
        facts["usage"] = usage_json(usage)
        made.append(
            replace(
                record,
                line=request.line,
                custom_id=request.custom_id,
                digest=request.digest,
                reply=reply,
                usage=usage,
                facts=facts,
            )
        )
    return made


def _facts(facts: Json, part: tuple[Request, ...], weights: list[int]) -> Iterator[Json]:
    rejected = _usage_shares(usage_from(facts.get("rejected_usage")), weights)
    whole = sum(weights)
    for at, request in enumerate(part):
        own = {**facts, "line": request.line, "digest": request.digest, "packed": len(part)}
        own["cost_usd"] = _share_of_cost(facts["cost_usd"], weights[at] / whole)
        if "rejected_usage" in facts:
            own["rejected_usage"] = usage_json(rejected[at])
            own["rejected_cost_usd"] = _share_of_cost(facts["rejected_cost_usd"], weights[at] / whole)
        if "last_cost_usd" in facts:
            own["last_cost_usd"] = _share_of_cost(facts["last_cost_usd"], weights[at] / whole)
        if at and facts.get("billed") == "maybe":
            own["billed"] = "no"  # one request, one unknown outcome
        if at:
            own.pop("at_most", None)
        if request.metadata is not None:
            own["metadata"] = request.metadata
        yield own


def _replies(body: Json, data: list[Json], weights: list[int]) -> list[bytes]:
    """The reply as each line would have got it, asked alone."""
    given = body.get("usage")
    usage = given if isinstance(given, dict) else {}
    columns = {name: shares(value, weights) for name, value in usage.items() if type(value) is int and value >= 0}
    made = []
    for at, one in enumerate(data):
        own = {**body, "data": [{**one, "index": 0}]}
        if usage:
            own["usage"] = {**usage, **{name: column[at] for name, column in columns.items()}}
        made.append(dumps(own))
    return made


def _share_of_cost(cost: float | None, part_of: float) -> float | None:
    return None if cost is None else cost * part_of


def _usage_shares(usage: Usage, weights: list[int]) -> list[Usage]:
    totals = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens, usage.reasoning_tokens)
    columns = [[None] * len(weights) if total is None else shares(total, weights) for total in totals]
    return [Usage(*row) for row in zip(*columns, strict=True)]
