"""No money, or only this minute's? One request at a time tells."""

from __future__ import annotations

from math import inf

from batchllm.throttle.quota import PROBE_WAITS_S, QuotaProbe


def doubted(now: float = 100.0) -> QuotaProbe:
    quota = QuotaProbe()
    quota.doubted(99.0, now)
    return quota


def test_probes_go_after_one_two_and_four_minutes_and_three_refusals_are_final() -> None:
    quota, now, waits = doubted(), 100.0, []
    while not quota.exhausted:
        waits.append(quota.ready_at() - now)
        now = quota.ready_at()
        quota.sent()
        assert quota.ready_at() == inf
        quota.doubted(now, now)
    assert tuple(waits) == PROBE_WAITS_S == (60, 120, 240)
    assert quota.ready_at() == inf


def test_any_other_answer_ends_the_doubt() -> None:
    quota = doubted()
    quota.sent()
    assert quota.answered(160.0)
    assert not quota.active


def test_answers_to_what_was_sent_before_the_doubt_tell_nothing() -> None:
    quota = doubted()
    assert not quota.answered(99.0)
    quota.doubted(99.5, 101.0)
    assert quota.ready_at() == 160.0
    quota.sent()
    quota.doubted(99.5, 161.0)
    assert quota.ready_at() == inf


def test_a_probe_without_an_answer_is_repeated() -> None:
    quota = doubted()
    quota.sent()
    quota.gone(99.0, 161.0)
    assert quota.ready_at() == inf
    quota.gone(160.0, 170.0)
    assert quota.ready_at() == 170.0 + PROBE_WAITS_S[0]


def test_a_new_doubt_begins_from_the_start() -> None:
    quota = doubted()
    quota.sent()
    quota.doubted(160.0, 160.0)
    quota.sent()
    quota.answered(280.0)
    quota.doubted(1000.0, 1000.0)
    assert quota.ready_at() == 1060.0
