"""What comes in from workers: every outcome to the journal first, then into the books of lines, limits and places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from batchllm.billing import Charge
from batchllm.engines.engine import Means
from batchllm.engines.ray_pool import losses
from batchllm.engines.ray_pool.custody import Custody
from batchllm.engines.ray_pool.desk import Desk
from batchllm.engines.ray_pool.limits import Limits, took
from batchllm.engines.ray_pool.wire import BEGUN, CUSTOM_ID, DONE, NUMBER, Report, done_in
from batchllm.records import Record, usage_from
from batchllm.steps import Done
from batchllm.strictjson import loads
from batchllm.types import Json

UNBILLED = Charge("no")


class Intake:
    """Each line has one record, whoever brings it: the first counts, every later one is a note of what it was billed."""

    def __init__(self, means: Means, custody: Custody, limits: Limits, desks: Mapping[int, Desk]) -> None:
        self._route = means.route
        self._outlet = means.outlet
        self._custody = custody
        self._limits = limits
        self._desks = desks
        self.lines_handed_again = self.requests_lost = self.second_answers = 0

    def take(self, desk: Desk, report: Report) -> list[Done]:
        """Everything that a report tells and an earlier one did not; gives the records that counted."""
        steps: list[Done] = []
        for kind, told in islice(report.outcomes, desk.taken - report.first + 1, None):
            if kind == DONE:
                steps += self._done(desk, told)
            elif kind == BEGUN:
                self._custody.begun(desk.number, told)
                desk.place.requests += 1
            else:
                self._note(desk, *told)
        desk.taken = max(desk.taken, report.first + len(report.outcomes) - 1)
        return steps

    def _done(self, desk: Desk, told: tuple[Any, ...]) -> Iterable[Done]:
        records, verdict, charge, model = done_in(told)
        self._limits.took(desk.number, *took(charge))
        first = tuple(record for record in records if self._is_first(desk, record.line))
        if len(first) < len(records):
            self._again(records, first, charge)
        if not first:
            return ()
        step = Done(first[0], verdict, first[1:])
        self._outlet.done(step, losses.answered(losses.light(first[0].line, first[0].custom_id, model), charge))
        desk.place.count(step.records, charge)
        return (step,)

    def _is_first(self, desk: Desk, number: int) -> bool:
        """Whether the line had no record yet; whoever else has it then is told to leave it out."""
        first, holder = self._custody.recorded(number)
        if holder is not None and holder != desk.number and holder in self._desks:
            self._desks[holder].forget.append(number)
        return first

    def _again(self, records: tuple[Record, ...], first: tuple[Record, ...], charge: Charge) -> None:
        """Answers whose lines have one: what they were billed is noted once."""
        charge = UNBILLED if first else charge
        for record in records:
            if record not in first:
                self.second_answers += 1
                one = losses.answered(losses.light(record.line, record.custom_id), charge)
                self._outlet.note(losses.superseded(record, charge), one)
                charge = UNBILLED

    def _note(self, desk: Desk, raw: bytes, number: int) -> None:
        note: Json = loads(raw)
        usage = note.get("usage")
        charge = Charge(note.get("billed", "no"), None if usage is None else usage_from(usage), note.get("cost_usd"))
        most = note.get("at_most") or {}
        usd, tokens = charge.usd, charge.tokens
        self._limits.took(
            desk.number, most.get("usd") if usd is None else usd, most.get("tokens") if tokens is None else tokens
        )
        self._outlet.note(note, losses.answered(losses.light(number, str(note.get("custom_id", ""))), charge))
        if "turn" in note:
            self._custody.turn(desk.number, number, note)

    def lost(self, desk: Desk, why: str) -> None:
        """The worker is gone: its lines wait for others, what it had in flight is noted, and counted at the worst."""
        loss = self._custody.lost(desk.number)
        self.lines_handed_again += len(loss.begun) + loss.unbegun - len(loss.given_up)
        self.requests_lost += len(loss.begun)
        desk.place.lost += desk.begun
        for line in loss.begun:
            note, charge = losses.in_flight(line, self._route, why)
            self._limits.took(desk.number, *took(charge))
            self._outlet.note(note, losses.answered(losses.light(line[NUMBER], line[CUSTOM_ID]), charge))
        for line in loss.given_up:
            self._outlet.done(
                losses.given_up(line, self._route), losses.answered(losses.light(line[NUMBER], line[CUSTOM_ID]), UNBILLED)
            )

    def returned(self, desk: Desk) -> None:
        """The worker leaves with nothing in flight: its lines wait for others."""
        loss = self._custody.lost(desk.number, blamed=False)
        self.lines_handed_again += len(loss.begun) + loss.unbegun

    def figures(self) -> Json:
        return {
            "lines_handed_again": self.lines_handed_again,
            "requests_lost": self.requests_lost,
            "second_answers": self.second_answers,
        }
