"""The conversations of the Ray pool, with workers in this process and time that jumps: no Ray is needed for it."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from batchllm.budget import Budget, Budgets
from batchllm.errors import ExitCode
from batchllm.testing.simulated_endpoint import ServerModel, Spell
from tests.ray_crew import Event, Seen, conduct

QUIET = ServerModel(latency_s=1.0)


def assert_each_line_has_one_record(seen: Seen, items: int) -> None:
    counted = Counter(line for line, _ in seen.records)
    assert sorted(counted) == list(range(1, items + 1))
    assert set(counted.values()) == {1}


def most_in_flight(seen: Seen) -> int:
    return max(in_flight for _, _, in_flight in seen.arrivals)


def most_in_a_minute(seen: Seen) -> int:
    times = sorted(at for at, _, _ in seen.arrivals)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 60:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("workers", [1, 3, 40])
def test_every_line_is_asked_once_and_the_cap_is_kept(workers: int) -> None:
    seen = conduct(400, workers, QUIET, cap=24)
    assert_each_line_has_one_record(seen, 400)
    assert seen.repeats == 0
    assert most_in_flight(seen) <= 24


def test_lines_that_workers_read_are_asked_once_and_the_lost_ones_again() -> None:
    seen = conduct(400, 3, QUIET, (Event(5.0, "die"), Event(9.0, "die")), cap=24, raw=True, tpm=200_000.0)
    assert_each_line_has_one_record(seen, 400)
    maybe = [note for note in seen.notes if note["billed"] == "maybe"]
    assert 0 < len(maybe) == seen.figures["requests_lost"]
    assert seen.repeats <= seen.lost_in_flight
    assert {note["custom_id"] for note in maybe} <= {f"line-{number}" for number in range(1, 401)}
    assert all(note["at_most"]["tokens"] > 150 for note in maybe)


@pytest.mark.parametrize("tpm", [None, 200_000.0])
def test_a_line_that_a_worker_finds_changed_is_not_asked_and_ends_the_run_with_its_number(tpm: float | None) -> None:
    seen = conduct(2000, 3, QUIET, cap=24, raw=True, changed=300, tpm=tpm)
    assert seen.ending is not None
    assert seen.ending.exit_code is ExitCode.BAD_DATA
    assert str(seen.ending) == "job.jsonl: line 300 was changed during the run"
    assert 300 not in {line for _, line, _ in seen.arrivals}
    assert len(seen.records) == len(seen.arrivals) < 500


def test_the_cap_is_used_to_nine_tenths() -> None:
    seen = conduct(1200, 3, ServerModel(latency_s=1.0, spread=0.0), cap=24)
    assert seen.seconds < (1200 / 24 + 6) / 0.9


def test_the_driver_holds_no_more_lines_than_the_cap_asks_for() -> None:
    assert conduct(1000, 4, QUIET, cap=32).most_held <= 32 * 1.25 + 4 * 4


@pytest.mark.parametrize("what", ["die", "cut"])
def test_lines_of_a_lost_worker_go_to_others_and_only_its_requests_in_flight_are_asked_twice(what: str) -> None:
    seen = conduct(600, 3, QUIET, (Event(10.0, what, 1, 40.0),), cap=24)
    assert_each_line_has_one_record(seen, 600)
    assert 0 < seen.repeats <= seen.lost_in_flight <= 24 / 3 * 2
    assert seen.figures["requests_lost"] <= 8
    assert most_in_flight(seen) <= 24


def test_lines_that_were_handed_over_and_not_begun_are_no_repeats() -> None:
    seen = conduct(60, 2, ServerModel(latency_s=30.0), (Event(20.0, "die"),), cap=8)
    maybe = [note for note in seen.notes if note["billed"] == "maybe"]
    assert len(maybe) == seen.figures["requests_lost"] == 4
    assert seen.figures["lines_handed_again"] > 4
    assert {note["at_most"]["tokens"] > 0 for note in maybe} == {True}


def test_an_answer_that_comes_after_another_is_kept_as_a_note_and_not_as_a_record() -> None:
    slow = ServerModel(latency_s=60.0, spread=0.0)
    seen = conduct(8, 2, slow, (Event(5.0, "cut", 0, 130.0),), cap=8)
    assert_each_line_has_one_record(seen, 8)
    late = [note for note in seen.notes if "second answer" in note["message"]]
    assert len(late) == seen.figures["second_answers"] > 0
    assert {note["billed"] for note in late} == {"yes"}
    assert {note["usage"]["total_tokens"] for note in late} == {100}


def test_a_connection_that_blinks_loses_nothing_and_repeats_nothing() -> None:
    events = tuple(Event(2.0 + at / 2, "blink", at) for at in range(40))
    seen = conduct(800, 3, QUIET, events, cap=24)
    assert_each_line_has_one_record(seen, 800)
    assert seen.repeats == 0


def test_a_worker_that_hears_nothing_begins_nothing_new() -> None:
    seen = conduct(600, 1, QUIET, (Event(5.0, "cut", 0, 100.0),), cap=8)
    silent = [at for at, _, _ in seen.arrivals if 8.0 < at < 35.0]
    assert silent == []
    assert_each_line_has_one_record(seen, 600)


def test_the_rate_is_never_passed_while_shares_wander() -> None:
    events = (Event(30.0, "die", 0), Event(95.0, "die", 1), Event(150.0, "cut", 0, 60.0))
    seen = conduct(500, 3, QUIET, events, cap=24, rpm=90.0)
    assert_each_line_has_one_record(seen, 500)
    assert most_in_a_minute(seen) <= 90


def test_more_workers_than_requests_a_minute_pass_no_limit() -> None:
    seen = conduct(30, 20, QUIET, cap=64, rpm=5.0)
    assert_each_line_has_one_record(seen, 30)
    assert most_in_a_minute(seen) <= 5


def test_tokens_a_minute_are_kept_where_a_share_is_smaller_than_a_request() -> None:
    seen = conduct(40, 20, QUIET, cap=64, tpm=1000.0)  # a request is estimated at 151 tokens and uses 100
    assert_each_line_has_one_record(seen, 40)
    assert most_in_a_minute(seen) * 100 <= 1000


def test_a_refusal_met_by_one_worker_slows_all() -> None:
    alone = conduct(300, 1, ServerModel(latency_s=0.5, rate=8.0), cap=32)
    seen = conduct(300, 4, ServerModel(latency_s=0.5, rate=8.0), cap=32)
    assert_each_line_has_one_record(seen, 300)
    refused = [sum(visit.mood == "429" for visit in one.visits) for one in (alone, seen)]
    assert refused[1] <= 4 * refused[0] + 40


def test_an_account_that_is_refused_ends_the_run_within_a_few_requests() -> None:
    seen = conduct(5000, 4, ServerModel(spells=(Spell(0.0, 9e9, "quota"),)), cap=64)
    assert seen.ending is not None
    assert seen.ending.exit_code is ExitCode.ACCOUNT
    assert len(seen.arrivals) <= 4 * 8 + 3 * 4


def test_an_endpoint_that_stays_down_ends_the_run_as_unavailable() -> None:
    seen = conduct(5000, 3, ServerModel(spells=(Spell(0.0, 9e9, "down"),)), cap=16)
    assert seen.ending is not None
    assert seen.ending.exit_code is ExitCode.UNAVAILABLE


def test_workers_that_cannot_be_started_end_the_run_with_the_reason() -> None:
    seen = conduct(10, 2, QUIET, failures=100)
    assert seen.ending is not None
    assert seen.ending.exit_code is ExitCode.UNAVAILABLE
    assert "no room" in str(seen.ending)
    assert seen.arrivals == []


def test_a_cluster_without_room_for_any_worker_ends_the_run_as_one_to_try_later() -> None:
    seen = conduct(10, 2, QUIET, stuck=True)
    assert seen.ending is not None
    assert seen.ending.exit_code is ExitCode.TRY_LATER
    assert seen.seconds < 300


def test_where_the_head_goes_what_is_in_flight_has_a_moment_to_end() -> None:
    seen = conduct(1000, 3, ServerModel(latency_s=5.0, spread=0.0), cap=24, gone_at=20.0)
    assert seen.ending is not None
    assert seen.ending.exit_code is ExitCode.UNAVAILABLE
    assert len(seen.records) == len(seen.arrivals)
    hung = conduct(1000, 3, ServerModel(latency_s=500.0, spread=0.0), cap=24, gone_at=20.0)
    assert hung.seconds < 20 + 40  # Ray ends the process a minute after its head


def test_a_line_that_brings_its_workers_down_is_left_out_in_the_end() -> None:
    hang = ServerModel(poison=((1, "hang"),), timeout_s=600.0, latency_s=0.5)
    deaths = tuple(Event(5.0 + 10 * at, "die", 0) for at in range(6))
    seen = conduct(20, 1, hang, deaths, cap=4)
    assert_each_line_has_one_record(seen, 20)
    assert (1, "connection") in seen.records


def test_a_drain_waits_for_what_is_in_flight_and_begins_nothing() -> None:
    seen = conduct(1000, 3, ServerModel(latency_s=5.0), cap=24, stop_at=20.0)
    assert all(at <= 20.0 + 0.02 for at, _, _ in seen.arrivals)
    assert len(seen.records) == len(seen.arrivals)


def test_a_cancel_keeps_every_answer_that_came_and_notes_what_was_abandoned() -> None:
    seen = conduct(1000, 3, ServerModel(latency_s=5.0), cap=24, cancel_at=20.0)
    abandoned = sum(note["billed"] == "maybe" for note in seen.notes)
    assert len(seen.records) + abandoned == len(seen.arrivals)
    assert abandoned > 0


@pytest.mark.parametrize("workers", [1, 4])
def test_the_budget_is_never_passed_and_is_used_up(workers: int) -> None:
    tokens = Budget(5000.0)
    seen = conduct(1000, workers, QUIET, cap=16, budgets=Budgets(tokens=tokens))
    assert seen.ending is not None
    assert seen.ending.exit_code is ExitCode.TRY_LATER
    assert len(seen.records) * 100 <= 5000
    worst = 300  # bytes of a request and its longest answer
    assert tokens.spent > 5000 - worst - 100
    assert tokens.spent == len(seen.records) * 100


def plan(seed: int) -> Seen:
    """A job, a crew and their troubles, always the same for a seed."""
    draw = random.Random(seed)
    workers = draw.randint(1, 6)
    events = tuple(
        Event(
            draw.uniform(0, 60), draw.choice(["die", "die", "cut", "blink"]), draw.randint(0, 9), draw.choice([3.0, 10.0, 50.0])
        )
        for _ in range(draw.randint(0, 6))
    )
    server = ServerModel(latency_s=draw.choice([0.02, 0.5, 3.0]), spread=0.3)
    cap, rpm = draw.choice([1, 5, 32]), draw.choice([None, None, 300.0])
    return conduct(draw.choice([1, 40, 250]), workers, server, events, cap=cap, rpm=rpm, seed=seed, raw=seed % 2 == 1)


@pytest.mark.parametrize("seed", range(16))
def test_whatever_happens_to_workers_each_line_has_one_record(seed: int) -> None:
    assert_kept(seed)


@pytest.mark.sweep
def test_whatever_happens_to_workers_five_hundred_times() -> None:
    for seed in range(100, 600):
        assert_kept(seed)


def assert_kept(seed: int) -> None:
    seen = plan(seed)
    lines = {line for line, _ in seen.records}
    assert_each_line_has_one_record(seen, max(lines))
    assert seen.repeats <= seen.lost_in_flight
