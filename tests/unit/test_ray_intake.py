"""What the driver of the Ray pool does with what workers tell it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchllm.billing import Charge, Worst
from batchllm.books import Books
from batchllm.budget import Budget, Budgets
from batchllm.endings import Endings
from batchllm.engines.engine import Elsewhere, Means
from batchllm.engines.exchange import Outlet
from batchllm.engines.ray_pool.custody import Custody
from batchllm.engines.ray_pool.desk import Desk, Place
from batchllm.engines.ray_pool.intake import Intake
from batchllm.engines.ray_pool.limits import Limits
from batchllm.engines.ray_pool.losses import answered, record_of
from batchllm.engines.ray_pool.wire import ANSWERED, DONE, NOTE, Outcome, Report, answered_in, outcome_of, request_of, unit_of
from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.journal.storage import Storage
from batchllm.records import Record, usage_json
from batchllm.settings import Retries, Settings
from batchllm.steps import Asked, Done, Finished
from batchllm.strictjson import dumps
from batchllm.testing.simulation import request, route
from batchllm.throttle import Throttle
from batchllm.types import Json, Kind, Usage, Verdict
from tests.ray_crew import REREADING, unread

USED = Usage(80, 20, 100, 32, None)
BILLED = Charge("yes", USED, 0.25)


def record(line: int, **more: Any) -> Record:
    facts: Json = {
        "line": line, "digest": f"{line:032x}", "usage": usage_json(USED), "attempts": 1, "latency_s": 0.5 + line, "ttft_s": None,
        "tokens_per_s": None, "cost_usd": 0.25, "billed": "yes", "model": "m-0613", **more.pop("facts", {}),
    }  # fmt: skip
    body = dumps({"choices": [{"message": {"content": f"half a pair \ud83d, {line}"}}]})
    return Record(line, f"line-{line}", f"{line:032x}", 200, "req", body, usage=USED, facts=facts, **more)


def asked(line: int, charge: Charge = BILLED) -> Asked:
    return answered(request(line), charge)


def told(step: Done, charge: Charge = BILLED, *, whole: bool = False) -> Any:
    """An outcome as it comes out on the other side."""
    return pickle.loads(pickle.dumps(outcome_of(step, asked(step.record.line, charge), whole=whole)))


STREAMED = {"facts": {"ttft_s": 0.1, "tokens_per_s": 40.0}}
NAMELESS = {"facts": {"model": None}}


@pytest.mark.parametrize("charge", [BILLED, Charge("yes", USED, None), Charge("yes", Usage(total_tokens=5), 0.1)], ids=repr)
@pytest.mark.parametrize("more", [{}, STREAMED, NAMELESS], ids=["plain", "streamed", "of no named model"])
@pytest.mark.parametrize("sampled", [False, True])
def test_an_answer_in_finished_bytes_adds_up_to_what_its_record_does(more: Any, charge: Charge, sampled: bool) -> None:
    made, here, there = record(3, **more), Books(sampled=sampled), Books(sampled=sampled)
    here.done(Done(made), asked(3, charge))
    here.record(made, "m")
    answer = answered_in(told(Done(made), charge))
    there.answered([answer])
    assert there.tally.as_json(1.0) == here.tally.as_json(1.0)
    assert (there.tally.done, there.tally.usage, there.tally.models) == (here.tally.done, here.tally.usage, here.tally.models)
    assert (there.tally.cost_usd, there.tally.cost_known) == (here.tally.cost_usd, here.tally.cost_known)
    assert pickle.dumps(there.sample) == pickle.dumps(here.sample)
    assert answer.record == made.to_json()


FULL: dict[str, tuple[Done, Charge]] = {
    "a failure": (Done(record(1, code=ErrorCode.TIMEOUT), Verdict(Kind.FINAL, ErrorCode.TIMEOUT)), BILLED),
    "several lines": (Done(record(1), None, (record(2),)), BILLED),
    "perhaps billed": (Done(record(1)), Charge("maybe", USED, None, Worst(9.0, 1.0))),
    "of unknown usage": (Done(record(1)), Charge("yes")),
    "not billed": (Done(record(1)), Charge("no", USED)),
    "with an earlier attempt that may be billed": (Done(record(1, facts={"at_most": {"tokens": 9, "usd": 1.0}})), BILLED),
}


@pytest.mark.parametrize("name", FULL)
def test_what_is_more_than_an_answer_travels_with_all_that_is_known(name: str) -> None:
    step, charge = FULL[name]
    assert told(step, charge)[0] == DONE


def test_an_answer_travels_whole_where_somebody_looks_at_it() -> None:
    assert told(Done(record(1)), whole=True)[0] == DONE
    assert told(Done(record(1)))[0] == ANSWERED


def test_the_record_of_an_answer_in_finished_bytes_can_be_had_again() -> None:
    made = record(7)
    again = record_of(answered_in(told(Done(made))))
    assert (again.line, again.custom_id, again.digest, again.status_code) == (7, "line-7", made.digest, 200)
    assert (again.facts["attempts"], again.facts["latency_s"]) == (1, 7.5)
    assert again.body == made.body


def test_a_line_that_was_not_read_is_the_request_it_was_when_it_is_read_there() -> None:
    line = pickle.loads(pickle.dumps(unit_of(unread(4))[0]))
    assert replace(request_of(line, REREADING), digest="") == replace(request(4), digest="")


@pytest.mark.parametrize(
    "raw", [b'{"prompt": "another"}', b'{"prompt": ', b"[]", b""], ids=["changed", "torn", "no object", "gone"]
)
def test_a_line_that_is_not_what_it_was_is_never_a_request(raw: bytes) -> None:
    with pytest.raises(JobError, match="line 4 was changed during the run") as caught:
        request_of(unit_of(replace(unread(4), raw=raw))[0], REREADING)
    assert caught.value.exit_code is ExitCode.BAD_DATA


class Driver:
    """An intake with its books laid open: `log` holds what went to the journal, in order."""

    def __init__(self, *lines: int, whole: bool = False, fails: bool = False) -> None:
        self.log: list[Any] = []
        self.tokens = Budget(1000.0)
        self.endings = Endings(Retries(), "the endpoint")
        self.custody = Custody()
        self.items: list[Asked] = []
        throttle, self._fails = Throttle(8, 0.0), fails
        limits = Limits(throttle, Budgets(tokens=self.tokens))
        outlet = Outlet(self._done, self._note, answered=None if whole else self._answered)
        means = Means(
            Settings(), route(Retries()), None, throttle, outlet, self.endings, lambda: 0.0, Budgets(), Path(),  # type: ignore[arg-type]
            Storage(), lambda *_: iter(()), lambda: True, Elsewhere(lambda _: None, {}, REREADING),  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        self.desk = Desk(1, Place(1), 0.0)
        self.intake = Intake(means, self.custody, limits, {1: self.desk})
        for line in lines:
            self.custody.hand(1, unit_of(unread(line)))

    def _answered(self, answers: Sequence[Finished]) -> None:
        self.log.append([one.line for one in answers])

    def _done(self, step: Done, item: Asked) -> None:
        self.items.append(item)
        self.log.append(step.record.line)

    def _note(self, note: Json, item: Asked) -> None:
        if self._fails:
            raise KeyError("defect")
        self.items.append(item)
        self.log.append(note)

    def take(self, *outcomes: Outcome, first: int = 1) -> list[Done]:
        return self.intake.take(self.desk, Report(first, list(outcomes)))


def note(line: int) -> Outcome:
    return (NOTE, (dumps({"custom_id": f"line-{line}", "line": line, "code": "timeout", "billed": "no"}), line))


def test_answers_of_a_report_go_to_the_journal_together_and_nothing_overtakes_them() -> None:
    driver = Driver(*range(1, 8))
    driver.take(
        1, told(Done(record(1))), 2, told(Done(record(2))), note(3), told(Done(record(4))), FULL_STEP, told(Done(record(6)))
    )
    assert [one["line"] if isinstance(one, dict) else one for one in driver.log] == [[1, 2], 3, [4], 5, [6]]
    assert driver.desk.taken == 8
    assert driver.desk.place.as_json() | {"node": ""} == {
        "worker": 1, "node": "", "started": 0, "lost": 0, "requests": 2, "answered": 4, "failed": 1, "tokens": 500,
        "in_flight": None,
    }  # fmt: skip
    assert driver.tokens.spent == 500
    assert driver.endings.answered


FULL_STEP = told(Done(record(5, code=ErrorCode.TIMEOUT), Verdict(Kind.FINAL, ErrorCode.TIMEOUT)))


def test_what_a_report_tells_again_counts_once() -> None:
    driver = Driver(1, 2)
    driver.take(1, told(Done(record(1))))
    driver.take(1, told(Done(record(1))), told(Done(record(2))), first=1)
    assert driver.log == [[1], [2]]


def test_a_second_answer_in_finished_bytes_is_a_note_with_its_bill_and_its_body() -> None:
    driver = Driver(1)
    driver.take(told(Done(record(1))), told(Done(record(1))))
    kept, (late,) = driver.log[-1], driver.log[:-1]
    assert kept == [1]
    assert (late["line"], late["billed"], late["usage"]["total_tokens"], late["cost_usd"]) == (1, "yes", 100, 0.25)
    assert b"half a pair" in dumps(late["body"])
    assert driver.tokens.spent == 200
    assert driver.intake.second_answers == 1


def test_a_defect_in_the_midst_of_a_report_loses_no_answer_before_it() -> None:
    driver = Driver(1, 2, fails=True)
    with pytest.raises(KeyError):
        driver.take(told(Done(record(1))), note(2))
    assert driver.log == [[1]]


def test_whoever_looks_at_records_sees_the_request_in_full() -> None:
    driver = Driver(1, whole=True)
    driver.take(note(1), told(Done(record(1)), whole=True))
    assert [item.request.url for item in driver.items] == ["/v1/chat/completions"] * 2
    assert [item.body for item in driver.items] == [request(1).body] * 2


def test_a_conversation_that_was_not_read_goes_on_behind_the_turns_that_were_answered() -> None:
    driver = Driver()
    driver.custody.hand(1, unit_of(unread(1, b'{"turns": ["a", "b"]}')))
    turn = {"custom_id": "line-1", "line": 1, "turn": 1, "text": "yes", "billed": "yes", "usage": usage_json(USED)}
    driver.take((NOTE, (dumps(turn), 1)))
    driver.custody.lost(1)
    unit = driver.custody.next_waiting()
    assert unit is not None
    again = request_of(unit[0], REREADING)
    assert again.extras is not None
    assert [one["text"] for one in again.extras.begun] == ["yes"]
