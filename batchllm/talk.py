"""A conversation's way to its record: an item for each turn, and the note that makes a finished turn last.

A turn that is answered stands in `attempts.jsonl` at once, with its reply: after any end the next run asks the turn after
it. The last turn's answer is the line's record, which holds all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from batchllm.billing import Charge, Worst
from batchllm.conversation import Conversation, history_from
from batchllm.errors import TransportError
from batchllm.item import Item
from batchllm.records import Record, attempt_note, usage_from, usage_json
from batchllm.route import Route
from batchllm.steps import AnyStep, Done, Onward
from batchllm.types import NO_USAGE, Call, Extras, Json, Kind, Reply, Request, Verdict


class Talk:
    """Used like an `Item`; see there."""

    def __init__(self, route: Route, request: Request) -> None:
        extras = request.extras
        assert extras is not None
        self.route = route
        self.request = request
        self._free = replace(route, schema_for=_no_schema)
        history = route.history if extras.history is None else history_from(extras.history)
        self._said = Conversation(request.body, extras.turns, history)
        self._usage, self._cost, self._attempts, self._unknown = NO_USAGE, 0.0, 0, 0
        self._cost_known, self._billed = True, False
        for note in self._said.resume(extras.begun):
            self._count(note["entry"])
        self._asked = self._item = self._next()

    def _next(self) -> Item:
        """The request that comes next: a summary where one is due, else the turn; the schema holds for the last one."""
        said, request = self._said, self.request
        assert request.extras is not None
        plain = replace(request, extras=Extras(request.extras.media) if request.extras.media else None)
        self._covers = said.summary_due()
        if self._covers:
            return Item(self._free, replace(plain, body=said.summary_request(), schema=None, extras=None))
        return Item(self.route if said.is_last else self._free, replace(plain, body=said.request()))

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
        return self._whole(self._item.unsendable(why))

    def _after(self, step: AnyStep) -> AnyStep:
        if not isinstance(step, Done):
            return step
        if not step.record.ok or (self._said.is_last and not self._covers):
            return self._whole(step)
        return Onward(self._kept(step.record))

    def _kept(self, record: Record) -> Json:
        """Take the answer into the conversation; gives its line of `attempts.jsonl`."""
        said, turn, covers, last = self._said, self._said.turn + 1, self._covers, self._item.last
        text, entry = record.text or "", _entry(record)
        if covers:
            said.summarised(text, covers, entry)
        else:
            said.answered(text, entry)
        self._count(entry)
        self._item = self._next()
        what = f"the summary before turn {turn}" if covers else f"turn {turn}"
        verdict = Verdict(Kind.OK, None, f"{what} of {len(said.turns)} is answered")
        note = attempt_note(record, last, verdict)
        note.pop("body", None)  # it stands in the entry
        if covers:
            note["covers"] = covers
        return {
            **note,
            "digest": record.digest,
            "settings": record.facts["settings"],
            "turn": turn,
            "text": text,
            "entry": entry,
        }

    def _count(self, entry: Json) -> None:
        """Add what a finished turn came to, its rejected attempts included."""
        self._usage = self._usage + usage_from(entry.get("usage"))
        cost = entry.get("cost_usd")
        self._cost_known = self._cost_known and isinstance(cost, float | int)
        self._cost += cost or 0.0
        self._attempts += entry.get("attempts") or 0
        self._unknown += entry.get("unknown_outcomes") or 0
        self._billed = True

    def _whole(self, done: Done) -> Done:
        """The line's record: the last reply, with every turn beside it. What came before the last attempt was noted there."""
        record, said = done.record, self._said
        facts: Json = {**record.facts, "turns": [one.entry for one in said.said]}
        if record.ok:
            facts["turns"].append(_entry(record))
        if said.summaries:
            facts["summaries"] = said.summaries
        message = record.message if record.ok else f"turn {said.turn + 1} of {len(said.turns)}: {record.message}"
        usage = self._usage + record.usage
        facts["attempts"] += self._attempts
        if self._unknown:
            facts["unknown_outcomes"] = self._unknown + facts.get("unknown_outcomes", 0)
        if self._billed:
            rejected, cost = facts.get("rejected_cost_usd"), facts["cost_usd"]
            before = self._usage + usage_from(facts.get("rejected_usage"))
            facts["usage"], facts["rejected_usage"] = usage_json(usage), usage_json(before)
            known = self._cost_known and (rejected is not None or "rejected_cost_usd" not in record.facts)
            facts["rejected_cost_usd"] = self._cost + (rejected or 0.0) if known else None
            facts["cost_usd"] = (
                round(self._cost + (cost or 0.0), 9) if self._cost_known and (cost is not None or not record.ok) else None
            )
            if facts["cost_usd"] is None and self.last.usd:
                facts["last_cost_usd"] = self.last.usd
        return replace(done, record=replace(record, message=message, usage=usage, facts=facts))


def _entry(record: Record) -> Json:
    """What the line's record keeps of one turn."""
    facts = record.facts
    kept: Json = {name: facts[name] for name in ("reasoning", "media", "unknown_outcomes") if name in facts}
    return {
        "reply": record.body,
        "text": record.text,
        "usage": facts["usage"],
        "cost_usd": facts["cost_usd"],
        "attempts": facts["attempts"],
        "latency_s": facts["latency_s"],
        **kept,
    }


def _no_schema(request: Request) -> Any:
    return None
