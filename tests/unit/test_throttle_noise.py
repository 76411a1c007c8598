"""Noise and limits told apart: the trial at half the pace, and what exceeds a known share, at given coins."""

from __future__ import annotations

import random

import pytest

from batchllm.throttle.noise import FIRST, LATELY, Lately, Noise, Trial


def tried(share_before: float, chance: float, seed: int) -> Trial:
    """A trial at 50 a second whose requests are refused with this chance, each after 20 ms."""
    coin, trial, now = random.Random(seed), Trial(50.0, Lately(6, round(6 / share_before), 0.0, 0.02), 0.0, 0, 10.0), 10.0
    while not trial.noise and not trial.limit:
        now += 0.02
        trial.went(now)
        if coin.random() < chance:
            trial.was_refused(now, now + 0.02)
    return trial


@pytest.mark.parametrize("share", [0.03, 0.05, 0.1, 0.2])
def test_a_share_that_stays_at_half_the_pace_is_noise(share: float) -> None:
    assert sum(tried(share, share, seed).noise for seed in range(100)) >= 85


@pytest.mark.parametrize("share", [0.03, 0.05, 0.1, 0.2, 0.4])
def test_a_share_that_goes_away_at_half_the_pace_is_a_limit(share: float) -> None:
    assert tried(share, 0.0, 1).limit


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_nearly_everything_refused_at_half_the_pace_is_a_limit(share: float) -> None:
    assert not any(tried(share, 0.9, seed).noise for seed in range(100))


def test_refusals_of_what_went_before_the_cut_count_as_before_it() -> None:
    trial = Trial(50.0, Lately(6, 30, 5.0, 0.02), 0.0, 0, 10.0)
    for _ in range(20):
        trial.was_refused(9.0, 10.1)
    assert trial.limit


def test_much_noise_has_to_be_seen_at_half_of_the_half_too() -> None:
    trial = next(trial for trial in (tried(0.2, 0.2, seed) for seed in range(20)) if trial.noise)
    assert not trial.convinces
    assert trial.again(25.0, 11.0).convinces


def unexplained(noise: Noise, refused: list[int], *, paced: bool = False) -> list[int]:
    return [n for n in refused if noise.unexplained(n / 100, n / 100, n, n, paced=paced, sure=False) is not None]


@pytest.mark.parametrize(
    ("refused", "at"),
    [
        ([20 * n for n in range(1, FIRST + 1)], [20 * FIRST]),
        ([100, 101, 102], [102]),
        ([LATELY * 2 * n for n in range(1, 30)], []),
    ],
)
def test_the_first_few_are_let_be_unless_they_are_most_of_what_was_sent(refused: list[int], at: list[int]) -> None:
    assert unexplained(Noise(), refused) == at


def test_where_there_is_a_pace_already_each_one_counts() -> None:
    assert unexplained(Noise(), [50], paced=True) == [50]


def known(share: float) -> Noise:
    noise, trial = Noise(), Trial(50.0, Lately(round(200 * share), 200, 0.0, 0.02), 0.0, 0, 10.0)
    noise.found(trial, 0)
    return noise


@pytest.mark.parametrize(("share", "false_alarms"), [(0.01, 2), (0.05, 2), (0.1, 2), (0.3, 4)])
def test_a_known_share_explains_itself_and_what_exceeds_it_by_far_is_noticed(share: float, false_alarms: int) -> None:
    coin, noise = random.Random(3), known(share)
    assert len(unexplained(noise, [n for n in range(1, 5000) if coin.random() < share])) <= false_alarms
    coin, noise = random.Random(4), known(share)
    assert unexplained(noise, [n for n in range(1, 200) if coin.random() < share + 0.4])


def test_a_noise_that_is_not_there_at_a_lower_pace_is_forgotten() -> None:
    noise, trial = known(0.2), Trial(50.0, Lately(20, 100, 0.0, 0.02), 0.2, 0, 10.0)
    for step in range(30):
        trial.went(10.0 + step)
    noise.refuted(trial)
    assert noise.share == 0.0
