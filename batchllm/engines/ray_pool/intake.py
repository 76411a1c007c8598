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
from batchllm.engines.ray_pool.wire import ANSWERED, DONE, Report, answered_in, done_in, request_of
from batchllm.records import Record, usage_from
from batchllm.steps import Done, Finished
from batchllm.strictjson import loads
from batchllm.types import Json, Request

UNBILLED = Charge("no")


class Intake:
    """Each line has one record, whoever brings it: the first counts, every later one is a note of what it was billed."""

    def __init__(self, means: Means, custody: Custody, limits: Limits, desks: Mapping[int, Desk]) -> None:
        assert means.elsewhere is not None
        self._route = means.route
        self._rereading = means.elsewhere.rereading
        self._endings = means.endings
        self._outlet = means.outlet
        self._custody = custody
        self._limits = limits
        self._desks = desks
        self.lines_handed_again = self.requests_lost = self.second_answers = 0

    def take(self, desk: Desk, report: Report) -> list[Done]:
        """Everything that a report tells and an earlier one did not; gives the records that counted."""
        steps: list[Done] = []
        answers: list[Finished] = []
        try:
            for outcome in islice(report.outcomes, desk.taken - report.first + 1, None):
                if isinstance(outcome, int):
                    self._custody.begun(desk.number, outcome)
                    desk.place.requests += 1
                elif outcome[0] == ANSWERED:
                    self._answered(desk, outcome, answers)
                else:
                    self._keep(desk, answers)
                    kind, told = outcome
                    if kind == DONE:
                        steps += self._done(desk, told)
                    else:
                        self._note(desk, *told)
        finally:
            self._keep(desk, answers)
        desk.taken = max(desk.taken, report.first + len(report.outcomes) - 1)
        return steps

    def _answered(self, desk: Desk, outcome: tuple[Any, ...], answers: list[Finished]) -> None:
        answer = answered_in(outcome)
        if self._is_first(desk, answer.line):
            answers.append(answer)
            return
        self._limits.took(desk.number, *took(answer.last))
        self._superseded(losses.record_of(answer), answer.last)

    def _keep(self, desk: Desk, answers: list[Finished]) -> None:
        """Answers that stood together in a report go to the journal together; what came behind them waits for that."""
        if not answers:
            return
        assert self._outlet.answered is not None
        kept = answers.copy()
        answers.clear()
        self._outlet.answered(kept)
        self._endings.saw_answer()
        place, limits = desk.place, self._limits
        place.answered += len(kept)
        for one in kept:
            usd, tokens = took(one.last)
            place.tokens += int(tokens or 0)
            if limits.budgeted:
                limits.took(desk.number, usd, tokens)

    def _done(self, desk: Desk, told: tuple[Any, ...]) -> Iterable[Done]:
        records, verdict, charge, model = done_in(told)
        self._limits.took(desk.number, *took(charge))
        request = self._request(records[0].line, records[0].custom_id, model)
        first = tuple(record for record in records if self._is_first(desk, record.line))
        if len(first) < len(records):
            self._again(records, first, charge)
        if not first:
            return ()
        step = Done(first[0], verdict, first[1:])
        self._outlet.done(step, losses.answered(request, charge))
        desk.place.count(step.records, charge)
        return (step,)

    def _request(self, number: int, custom_id: str, model: object = None) -> Request:
        """What was asked: in full where somebody looks at it, which costs another reading."""
        line = self._custody.line(number) if self._outlet.answered is None else None
        return losses.light(number, custom_id, model) if line is None else request_of(line, self._rereading)

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
                self._superseded(record, charge)
                charge = UNBILLED

    def _superseded(self, record: Record, charge: Charge) -> None:
        self.second_answers += 1
        one = losses.answered(losses.light(record.line, record.custom_id), charge)
        self._outlet.note(losses.superseded(record, charge), one)

    def _note(self, desk: Desk, raw: bytes, number: int) -> None:
        note: Json = loads(raw)
        usage = note.get("usage")
        charge = Charge(note.get("billed", "no"), None if usage is None else usage_from(usage), note.get("cost_usd"))
        desk.place.tokens += int(charge.tokens or 0)
        most = note.get("at_most") or {}
        usd, tokens = charge.usd, charge.tokens
        self._limits.took(
            desk.number, most.get("usd") if usd is None else usd, most.get("tokens") if tokens is None else tokens
        )
        request = self._request(number, str(note.get("custom_id", "")))
        self._outlet.note(note, losses.answered(request, charge))
        if "turn" in note:
            self._custody.turn(desk.number, number, note, self._rereading)

    def lost(self, desk: Desk, why: str) -> None:
        """The worker is gone: its lines wait for others, what it had in flight is noted, and counted at the worst."""
        loss = self._custody.lost(desk.number)
        self.lines_handed_again += len(loss.begun) + loss.unbegun - len(loss.given_up)
        self.requests_lost += len(loss.begun)
        desk.place.lost += desk.begun
        for line in loss.begun:
            request = request_of(line, self._rereading)
            note, charge = losses.in_flight(request, self._route, why)
            self._limits.took(desk.number, *took(charge))
            self._outlet.note(note, losses.answered(request, charge))
        for line in loss.given_up:
            request = request_of(line, self._rereading)
            self._outlet.done(losses.given_up(request, self._route), losses.answered(request, UNBILLED))

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
