"""Which worker has which line: the pure part, and what travels."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from batchllm.billing import Charge, Worst
from batchllm.engines.ray_pool.custody import MAX_LOSSES, Custody
from batchllm.engines.ray_pool.losses import answered, in_flight, superseded
from batchllm.engines.ray_pool.wire import Unit, asked_of, done_in, done_out, request_of, unit_of
from batchllm.errors import ErrorCode
from batchllm.records import Record
from batchllm.settings import Retries
from batchllm.steps import Done
from batchllm.testing.simulation import request, route
from batchllm.types import Extras, Kind, Request, Usage, Verdict
from tests.ray_crew import REREADING


def units(*numbers: int) -> list[Unit]:
    return [unit_of(request(number)) for number in numbers]


def numbers(unit: Unit | None) -> list[int]:
    return [] if unit is None else [line[0] for line in unit]


def custody_of(worker: int, *lines: int) -> Custody:
    made = Custody()
    for unit in units(*lines):
        made.hand(worker, unit)
    return made


def test_the_first_record_of_a_line_counts_and_no_later_one() -> None:
    custody = custody_of(1, 7)
    assert custody.recorded(7) == (True, 1)
    assert custody.recorded(7) == (False, None)


def test_lines_of_a_lost_worker_wait_and_those_it_began_are_known() -> None:
    custody = custody_of(1, 1, 2, 3)
    custody.begun(1, 2)
    loss = custody.lost(1)
    assert (numbers(tuple(loss.begun)), loss.unbegun, loss.given_up) == ([2], 2, [])
    assert [numbers(custody.next_waiting()) for _ in range(4)] == [[1], [2], [3], []]


def test_a_line_that_is_answered_after_all_is_not_handed_over_again() -> None:
    custody = custody_of(1, 1, 2)
    custody.lost(1)
    assert custody.recorded(1) == (True, None)
    assert numbers(custody.next_waiting()) == [2]
    assert custody.next_waiting() is None


def test_whoever_has_a_line_that_another_answered_is_named() -> None:
    custody = custody_of(1, 1)
    custody.lost(1)
    unit = custody.next_waiting()
    assert unit is not None
    custody.hand(2, unit)
    assert custody.recorded(1) == (True, 2)
    assert custody.count(2) == 0


def test_what_a_lost_worker_began_later_says_nothing() -> None:
    custody = custody_of(1, 1)
    custody.lost(1)
    custody.begun(1, 1)
    unit = custody.next_waiting()
    assert unit is not None
    custody.hand(2, unit)
    assert custody.lost(2).begun == []


def test_a_line_that_outlived_too_many_workers_is_given_up() -> None:
    custody = custody_of(0, 1)
    for worker in range(MAX_LOSSES - 1):
        custody.begun(worker, 1)
        assert custody.lost(worker).given_up == []
        unit = custody.next_waiting()
        assert unit is not None
        custody.hand(worker + 1, unit)
    custody.begun(MAX_LOSSES - 1, 1)
    assert numbers(tuple(custody.lost(MAX_LOSSES - 1).given_up)) == [1]
    assert len(custody) == 0


def test_of_a_pack_only_the_lines_without_a_record_are_asked_again() -> None:
    custody = Custody()
    custody.hand(1, unit_of((request(1), request(2), request(3))))
    custody.begun(1, 1)
    custody.recorded(2)
    assert numbers(tuple(custody.lost(1).begun)) == [1, 3]
    assert numbers(custody.next_waiting()) == [1, 3]


def test_a_conversation_goes_on_behind_the_turns_that_were_answered() -> None:
    custody = Custody()
    talk = replace(request(1), extras=Extras(turns=("a", "b")))
    custody.hand(1, unit_of(talk))
    custody.turn(1, 1, {"turn": 1, "text": "yes"}, REREADING)
    custody.lost(1)
    unit = custody.next_waiting()
    assert unit is not None
    again = asked_of(unit, REREADING)
    assert isinstance(again, Request)
    assert again.extras is not None
    assert again.extras.begun == ({"turn": 1, "text": "yes"},)


@pytest.mark.parametrize("text", ["plain", "日本語", "half a pair \ud83d", '"quoted"\n'])
def test_a_request_is_the_same_on_the_other_side(text: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "seed": 2**70, "temperature": 0.1}
    one = replace(request(3), body=body, metadata={"a": [1, None]}, schema="s")
    assert request_of(pickle.loads(pickle.dumps(unit_of(one)[0])), REREADING) == one


def test_a_record_is_the_same_on_the_other_side() -> None:
    usage = Usage(1, 2, 3, None, 0)
    first = Record(1, "a", "d", 200, "r", b"{}", None, "", "yes", {"x": 1}, usage, {"line": 1})
    failed = replace(first, line=2, code=ErrorCode.TIMEOUT, message="late", usage=Usage())
    step = Done(first, Verdict(Kind.FINAL, ErrorCode.TIMEOUT, "late"), (failed,))
    charge = Charge("maybe", usage, None, Worst(10.0, 0.5))
    sent = pickle.loads(pickle.dumps(done_out(step, answered(request(1), charge))))
    assert done_in(sent) == (step.records, step.verdict, charge, "m")


def test_what_was_in_flight_on_a_lost_worker_is_noted_as_maybe_billed_at_the_worst() -> None:
    note, charge = in_flight(request(5), route(Retries()), "it died")
    assert (note["line"], note["billed"], note["code"]) == (5, "maybe", "connection")
    assert note["at_most"]["tokens"] > 150
    assert charge.worst is not None


def test_a_second_answer_keeps_its_bytes_and_what_it_was_billed() -> None:
    record = Record(1, "a", "d", 200, reply=b'{"id":1}', facts={"attempts": 1, "latency_s": 0.1})
    note = superseded(record, Charge("yes", Usage(1, 1, 2), 0.5))
    assert (note["billed"], note["cost_usd"], note["usage"]["total_tokens"]) == ("yes", 0.5, 2)
    assert "body" in note
