"""Faults, latency and limits: decisions that follow from the seed and the time they are given."""

from collections import Counter
from math import inf
from random import Random

import pytest

from batchllm.simulator.faults import Attempts, Faults
from batchllm.simulator.latency import Latency
from batchllm.simulator.limits import Admission, Bucket, Limits, duration_text
from batchllm.simulator.seeds import key_of, mix, unit


def test_faults_come_at_their_rates() -> None:
    faults = Faults(rate_limit=0.2, hang=0.05)
    met = Counter(faults.pick(mix(1, number), 1) for number in range(20_000))
    assert met["rate_limit"] / 20_000 == pytest.approx(0.2, abs=0.01)
    assert met["hang"] / 20_000 == pytest.approx(0.05, abs=0.005)


def test_the_same_request_meets_the_same_fault_and_its_retry_another_one() -> None:
    faults = Faults(server_error=0.5)
    key = key_of(3, b"12345678")
    first = [faults.pick(key, attempt) for attempt in range(1, 30)]
    assert first == [faults.pick(key, attempt) for attempt in range(1, 30)]
    assert set(first) == {None, "server_error"}


@pytest.mark.parametrize("rates", [{"hang": -0.1}, {"hang": 1.1}, {"hang": 0.6, "reset": 0.6}])
def test_impossible_rates_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="faults"):
        Faults(**rates)


def test_certain_faults_always_come_and_none_never_do() -> None:
    assert {Faults(reset=1.0).pick(number, 1) for number in range(100)} == {"reset"}
    assert {Faults().pick(number, 1) for number in range(100)} == {None}


def test_attempts_are_counted_for_each_body_and_the_oldest_are_forgotten() -> None:
    attempts = Attempts(capacity=4)
    assert [attempts.count(1), attempts.count(1), attempts.count(2)] == [1, 2, 1]
    for key in range(3, 9):
        attempts.count(key)
    assert attempts.count(1) == 1


def test_units_lie_below_one() -> None:
    assert unit(0) == 0
    assert unit(2**64 - 1) < 1


def test_latency_has_its_median_and_scales_as_a_whole() -> None:
    drawn = sorted(Latency(2.0, 0.5).drawn(Random(number)).median_s for number in range(2001))
    assert drawn[1000] == pytest.approx(2.0, rel=0.1)
    assert drawn[1900] == pytest.approx(2.0 * 2.28, rel=0.2)
    assert Latency(1.0, 0.0, 0.5, 0.1).whole_s(10) == pytest.approx(2.5)
    assert Latency().none
    with pytest.raises(ValueError, match="negative"):
        Latency(-1)


def test_a_bucket_lets_its_burst_through_and_then_its_rate() -> None:
    bucket = Bucket(per_minute=600, burst_s=1, now=0.0)
    for _ in range(10):
        assert bucket.wait_s(1, 0.0) == 0
        bucket.take(1, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx(0.1)
    assert bucket.wait_s(1, 0.1) == 0
    assert bucket.wait_s(11, 0.1) == inf


def test_no_minute_admits_more_than_the_rate_and_one_burst() -> None:
    admission = Admission(Limits(rpm=60, burst_s=5), 0.0)
    admitted = [at for at in range(6000) if admission.ask(0, at / 100) is None]
    assert len(admitted) == 5 + 60 - 1


def test_waiting_as_told_is_enough() -> None:
    admission = Admission(Limits(rpm=60, tpm=6000, burst_s=1), 0.0)
    assert admission.ask(100, 0.0) is None
    denial = admission.ask(100, 0.0)
    assert denial is not None
    assert admission.ask(100, denial.wait_s + 1e-9) is None


def test_refusals_count_where_told_so_but_not_without_bound() -> None:
    admission = Admission(Limits(rpm=60, burst_s=2, refusals_count=True), 0.0)
    denials = [admission.ask(0, 0.0) for _ in range(100)]
    assert denials[-1] is not None
    assert 2 < denials[-1].wait_s <= 3


def test_a_request_that_never_fits_and_a_full_house() -> None:
    too_large = Admission(Limits(tpm=600, burst_s=10), 0.0).ask(101, 0.0)
    assert too_large is not None
    assert too_large.wait_s == inf
    full = Admission(Limits(max_in_flight=1), 0.0)
    full.in_flight = 1
    denial = full.ask(0, 0.0)
    assert denial is not None
    assert denial.kind == "in_flight"


def test_limits_are_above_nothing() -> None:
    with pytest.raises(ValueError, match="limits"):
        Limits(rpm=0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.012, "12ms"),
        (0.0001, "1ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (360, "6m0s"),
        (90.951, "1m30.951s"),
        (3600, "1h0m0s"),
    ],
)
def test_durations_are_told_as_openai_tells_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
