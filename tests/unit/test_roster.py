"""Several endpoints by name: who is left out and why, where a line goes then, and when the run ends."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from batchllm.billing import Charge
from batchllm.endings import ALIKE, Endings
from batchllm.engines.roster import Roster, roster_for
from batchllm.errors import ErrorCode, ExitCode, JobError
from batchllm.item import Item
from batchllm.records import Record
from batchllm.route import Site
from batchllm.settings import Retries
from batchllm.steps import Again, AnyStep, Done, Halt, Onward
from batchllm.testing.simulation import request, route
from batchllm.throttle import Throttle
from batchllm.types import Call, Kind, Usage, Verdict

POLICY = Retries()
NO_KEY = Verdict(Kind.STOP, ErrorCode.AUTHENTICATION, "no such key")
ELSEWHERE = Verdict(Kind.STOP, ErrorCode.CONNECTION, "it redirects to a login page")
DAILY = Verdict(Kind.PAUSE, ErrorCode.RATE_LIMITED, "the day is used up", 20_000.0)
DOWN = Verdict(Kind.UNREACHABLE, ErrorCode.CONNECTION, "nobody there")
NO_MODEL = Verdict(Kind.FINAL, ErrorCode.NOT_FOUND, "no such model")
FACTS = {"latency_s": 0.5, "attempts": 1}


class Scene:
    """Two or more endpoints, and what the user is told of them."""

    def __init__(self, count: int = 2) -> None:
        self.told: list[str] = []
        sites = tuple(
            Site(f"http://h{number}/v1", {"Authorization": f"Bearer {number}"}, f"$KEY{number}") for number in range(count)
        )
        self.route = replace(route(POLICY), sites=sites)
        made = roster_for(self.route, Throttle(64, 0.0), Endings(POLICY, "all", "$KEY"), 0.0, self.told.append)
        assert isinstance(made, Roster)
        self.roster = made
        self.item = Item(self.route, request(1))

    def meets(self, number: int, step: AnyStep, now: float = 0.0, shunned: dict[int, float] | None = None) -> AnyStep:
        """What the line goes on with."""
        member = self.roster.fleet.members[number]
        self.roster.fleet.sent(member, now)
        weighed = self.roster.weighed(step, member, self.item, shunned or {}, now)
        kept = step.kept if isinstance(step, Onward) else step
        if isinstance(kept, dict) or kept.verdict is None:
            member.succeeded(now, now)
        else:
            member.failed(kept.verdict, 1, now, now)
        self.ending: JobError | None = self.roster.after(step, member, self.item, now)
        return weighed


def note() -> dict[str, Any]:
    return {"latency_s": 0.1}


def halt(verdict: Verdict = NO_KEY) -> Halt:
    return Halt(verdict, note())


def again(verdict: Verdict, wait_s: float = 1.0) -> Again:
    return Again(verdict, wait_s, note())


def failed(verdict: Verdict = NO_MODEL) -> Done:
    return Done(Record(1, "a", "d", code=verdict.code, message=verdict.message, facts=dict(FACTS)), verdict)


def answered() -> Done:
    return Done(Record(1, "a", "d", status_code=200, facts=dict(FACTS)))


def test_one_endpoint_has_no_roster() -> None:
    assert roster_for(route(POLICY), Throttle(4, 0.0), Endings(POLICY, "it"), 0.0) is None


def test_one_that_refuses_the_account_is_left_out_with_a_notice_and_its_line_goes_elsewhere() -> None:
    scene = Scene()
    step = scene.meets(0, halt())
    assert isinstance(step, Again)
    assert step.wait_s == 0.0
    assert scene.ending is None
    (told,) = scene.told
    assert all(word in told for word in ("http://h0/v1", "no such key", "$KEY0", "left out"))
    assert scene.roster.fleet.choose(1e9)[0] is scene.roster.fleet.members[1]
    scene.meets(0, halt())
    assert len(scene.told) == 1, "once is enough"


def test_where_the_last_one_refuses_the_account_the_run_ends_with_77_and_the_line_stays_pending() -> None:
    scene = Scene()
    scene.meets(0, halt())
    assert isinstance(scene.meets(1, halt()), Halt)
    assert scene.ending is not None
    assert scene.ending.exit_code is ExitCode.ACCOUNT
    assert all(name in str(scene.ending) for name in ("http://h0/v1", "http://h1/v1"))


def test_one_whose_day_is_used_up_comes_back_when_it_said() -> None:
    scene = Scene()
    scene.meets(0, again(DAILY, 20_000.0))
    assert scene.ending is None
    assert [scene.roster.fleet.members[0].out_until, scene.roster.fleet.choose(1.0)[0]] == [
        20_000.0,
        scene.roster.fleet.members[1],
    ]
    scene.roster.fleet.sent(scene.roster.fleet.members[1], 1.0)
    assert scene.roster.fleet.choose(20_001.0)[0] is scene.roster.fleet.members[0]


@pytest.mark.parametrize(
    ("first", "second", "code", "resume"),
    [
        (halt(), again(DAILY, 20_000.0), ExitCode.TRY_LATER, 20_000.0),
        (again(DAILY, 20_000.0), halt(), ExitCode.TRY_LATER, 20_000.0),
        (halt(ELSEWHERE), halt(), ExitCode.UNAVAILABLE, None),
        (halt(), halt(), ExitCode.ACCOUNT, None),
    ],
)
def test_the_end_of_all_has_the_code_that_waiting_may_cure(
    first: Any, second: Any, code: ExitCode, resume: float | None
) -> None:
    scene = Scene()
    scene.meets(0, replace(first, note=note()))
    scene.meets(1, replace(second, note=note()))
    assert scene.ending is not None
    assert (scene.ending.exit_code, scene.ending.resume_after_s) == (code, resume)


def down(scene: Scene, number: int, until: float) -> None:
    now = 0.0
    while now <= until:
        scene.meets(number, again(DOWN), now)
        now += 60.0


def test_an_outage_ends_the_run_only_where_all_are_down_for_too_long() -> None:
    scene = Scene()
    down(scene, 0, POLICY.max_outage + 120.0)
    assert scene.ending is None
    assert scene.roster.fleet.members[0].out_until == -inf, "it is tried again"
    down(scene, 1, POLICY.max_outage - 120.0)
    assert scene.ending is None
    down(scene, 1, POLICY.max_outage + 120.0)
    assert scene.ending is not None
    assert scene.ending.exit_code is ExitCode.UNAVAILABLE


def test_one_that_is_down_beside_one_left_out_is_waited_for() -> None:
    scene = Scene()
    scene.meets(1, halt())
    down(scene, 0, 300.0)
    assert scene.ending is None
    scene.meets(0, answered(), 301.0)
    assert scene.told[1:] == [
        "http://h0/v1 does not answer; the others go on, and it is tried again",
        "http://h0/v1 answers again",
    ]


def test_a_final_no_of_one_that_never_answered_is_not_believed_while_another_can_be_asked() -> None:
    scene = Scene()
    step = scene.meets(0, failed())
    assert isinstance(step, Again)
    assert step.shunned == {0: inf}
    assert (step.note["code"], step.note["endpoint"]) == ("not_found", "http://h0/v1")
    assert isinstance(scene.meets(1, failed(), shunned={0: inf}), Done), "all of them say so"


def test_a_final_no_of_one_that_has_answered_is_the_lines_own() -> None:
    scene = Scene()
    scene.meets(0, answered())
    assert isinstance(scene.meets(0, failed()), Done)


def test_one_that_refuses_its_first_lines_alike_is_left_out() -> None:
    scene = Scene()
    refused = Verdict(Kind.FINAL, ErrorCode.INVALID_REQUEST, "no such parameter")
    for _ in range(ALIKE):
        scene.meets(0, failed(refused))
    assert scene.ending is None
    assert scene.roster.fleet.members[0].out_until == inf
    assert "left out of this run" in scene.told[0]


def test_a_repeat_goes_elsewhere_at_once_and_not_back_before_its_wait_is_over() -> None:
    scene = Scene()
    step = scene.meets(0, again(Verdict(Kind.REFUSED, ErrorCode.RATE_LIMITED, "slow", 30.0), 33.0), 5.0)
    assert isinstance(step, Again)
    assert (step.wait_s, step.shunned) == (0.0, {0: 38.0})
    step = scene.meets(1, again(Verdict(Kind.REFUSED, ErrorCode.RATE_LIMITED, "slow", 10.0), 12.0), 6.0, {0: 38.0})
    assert isinstance(step, Again)
    assert (step.wait_s, step.shunned) == (12.0, {0: 38.0, 1: 18.0})


def test_a_fault_of_this_machine_waits_as_ever() -> None:
    scene = Scene()
    step = again(Verdict(Kind.LOCAL, ErrorCode.CONNECTION, "no descriptors"), 3.0)
    assert scene.meets(0, step) is step


def test_each_request_goes_to_its_own_address_with_its_own_key() -> None:
    scene = Scene()
    call = Call("http://127.0.0.1:1/v1/chat/completions", b"{}", {"Authorization": "Bearer 0"}, True)
    made = scene.roster.addressed(call, scene.roster.fleet.members[1], scene.item)
    assert (made.url, made.headers) == ("http://h1/v1/chat/completions", {"Authorization": "Bearer 1"})
    assert (made.body, made.stream) == (b"{}", True)


def test_every_record_and_note_says_which_endpoint_it_was() -> None:
    scene = Scene()
    done, later = answered(), again(DOWN)
    onward = Onward(note())
    several = Onward(Done(answered().record, more=(answered().record,)))
    for step in (done, later, onward, several):
        scene.meets(1, step)
    assert done.record.facts["endpoint"] == later.note["endpoint"] == onward.kept["endpoint"] == "http://h1/v1"  # type: ignore[index]
    assert isinstance(several.kept, Done)
    assert {one.facts["endpoint"] for one in several.kept.records} == {"http://h1/v1"}


def test_the_figures_of_each_endpoint_are_its_own() -> None:
    scene = Scene()
    scene.item.last = Charge("yes", Usage(8, 2, 10))
    scene.meets(0, answered())
    scene.meets(0, Onward(note()))
    scene.item.last = Charge("no")
    scene.meets(0, again(Verdict(Kind.REFUSED, ErrorCode.RATE_LIMITED, "slow", 1.0)))
    scene.meets(1, halt())
    first, second = scene.roster.as_json()
    assert [first[name] for name in ("endpoint", "state", "requests", "answered", "refused", "failed", "tokens")] == [
        "http://h0/v1", "in use", 3, 2, 1, 0, 20,
    ]  # fmt: skip
    assert first["latency_s"] == {"p50": pytest.approx(0.1, rel=0.02), "p90": pytest.approx(0.5, rel=0.02)}
    assert (second["requests"], second["failed"]) == (1, 1)
    assert second["state"].startswith("left out: http://h1/v1 refuses")
