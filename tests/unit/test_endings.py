"""When a run ends before its job does, with which code and words."""

from __future__ import annotations

import pytest

from batchllm.endings import ALIKE, Endings, duration
from batchllm.errors import ErrorCode, ExitCode
from batchllm.item import Item
from batchllm.records import Record
from batchllm.settings import Retries
from batchllm.steps import Again, Done, Halt
from batchllm.testing.simulation import request, route
from batchllm.throttle import Throttle
from batchllm.types import Kind, Verdict

POLICY = Retries()


def item() -> Item:
    return Item(route(POLICY), request(1))


def endings() -> Endings:
    return Endings(POLICY, "the endpoint", "the key came from $KEY")


def again(kind: Kind, after_s: float | None = None) -> Again:
    return Again(Verdict(kind, ErrorCode.RATE_LIMITED, "words", after_s), after_s or 1.0, {})


def failed(message: str, code: ErrorCode = ErrorCode.INVALID_REQUEST, kind: Kind = Kind.FINAL) -> Done:
    return Done(Record(1, "a", "d", code=code, message=message), Verdict(kind, code, message))


ANSWERED = Done(Record(1, "a", "d", status_code=200))


def test_an_account_refusal_ends_with_77_and_names_the_key_by_its_variable() -> None:
    halt = Halt(Verdict(Kind.STOP, ErrorCode.AUTHENTICATION, "bad key"), {})
    ending = endings().after(halt, item(), Throttle(4, 0.0), 0.0)
    assert ending is not None
    assert ending.exit_code is ExitCode.ACCOUNT
    assert "$KEY" in str(ending)


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (again(Kind.REFUSED, POLICY.max_pause), None),
        (again(Kind.REFUSED, POLICY.max_pause + 1), ExitCode.TRY_LATER),
        (again(Kind.PAUSE, 60.0), ExitCode.TRY_LATER),
        (again(Kind.PAUSE), ExitCode.TRY_LATER),
        (again(Kind.UNREACHABLE), None),
    ],
)
def test_a_wait_longer_than_a_run_may_take_ends_it_with_75(step: Again, code: ExitCode | None) -> None:
    ending = endings().after(step, item(), Throttle(4, 0.0), 0.0)
    assert (ending.exit_code if ending else None) is code
    if ending is not None:
        assert ending.resume_after_s == step.verdict.after_s


def test_an_outage_longer_than_allowed_ends_with_69() -> None:
    throttle, judge = Throttle(4, 0.0), endings()
    codes = []
    for now in range(0, 2000, 300):
        throttle.breaker.failed(1, now, now, reached=False)
        ending = judge.after(again(Kind.UNREACHABLE), item(), throttle, float(now))
        codes.append(ending.exit_code if ending else None)
    assert codes == [None] * 7
    throttle.breaker.failed(1, 2000.0, 2000.0, reached=False)
    ending = judge.after(again(Kind.UNREACHABLE), item(), throttle, 2000.0)
    assert ending is not None
    assert ending.exit_code is ExitCode.UNAVAILABLE


def test_a_doubtful_quota_is_final_after_three_probes() -> None:
    throttle, judge = Throttle(4, 0.0), endings()
    codes, now = [], 0.0
    for _ in range(4):
        throttle.sent(now)
        throttle.failed(Verdict(Kind.PROBE, ErrorCode.QUOTA_EXHAUSTED), 1, now, now)
        ending = judge.after(again(Kind.PROBE), item(), throttle, now)
        codes.append(ending.exit_code if ending else None)
        now += throttle.wait(now) if ending is None else 0.0
    assert codes == [None, None, None, ExitCode.ACCOUNT]
    assert now == 420.0


def test_twenty_first_lines_refused_alike_end_the_run() -> None:
    judge = endings()
    found = [judge.after(failed("no such parameter"), item(), Throttle(4, 0.0), 0.0) for _ in range(ALIKE)]
    assert found[:-1] == [None] * (ALIKE - 1)
    assert found[-1] is not None
    assert found[-1].exit_code is ExitCode.ACCOUNT


def test_a_model_that_is_not_found_ends_the_run_after_three_lines() -> None:
    judge = endings()
    found = [judge.after(failed("no model", ErrorCode.NOT_FOUND), item(), Throttle(4, 0.0), 0.0) for _ in range(3)]
    assert [one is not None for one in found] == [False, False, True]


@pytest.mark.parametrize("first", [ANSWERED, failed("server", ErrorCode.SERVER_ERROR, Kind.MAYBE_PAID)])
def test_after_anything_else_lines_are_judged_one_by_one(first: Done) -> None:
    judge = endings()
    judge.after(first, item(), Throttle(4, 0.0), 0.0)
    assert all(judge.after(failed("same"), item(), Throttle(4, 0.0), 0.0) is None for _ in range(100))


def test_lines_refused_with_different_words_do_not_end_the_run() -> None:
    judge = endings()
    assert all(judge.after(failed(f"line {n}"), item(), Throttle(4, 0.0), 0.0) is None for n in range(100))


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_durations_are_in_words_a_person_reads(seconds: float, words: str) -> None:
    assert duration(seconds) == words
