"""The learned rate: what refusals say of it, at given times."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from batchllm.throttle.pace import BOLD, BOLDEST, LEAST, WARY, Pace


class Server:
    """A token bucket and a pace before it, in steps of a millisecond."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.level = rate, burst, burst
        self.now, self.count, self.accepted, self.refused = 1000.0, 0, 0, 0
        self.pace = Pace(self.now)

    def run(self, seconds: float, offered: float) -> None:
        """Send as the pace allows, at most `offered` a second."""
        every = 1 / offered
        end, next_at = self.now + seconds, self.now
        while self.now < end:
            self.now += 0.001
            self.level = min(self.burst, self.level + 0.001 * self.rate)
            if self.now >= next_at and (self.pace.rate is None or self.pace.wait(self.now) <= 0):
                next_at = self.now + every
                self._send()

    def _send(self) -> None:
        self.count += 1
        if self.now >= self.pace.watch_at:
            self.pace.sent(self.now, self.count)
        if self.level >= 1:
            self.level -= 1
            self.accepted += 1
        else:
            self.refused += 1
            self.pace.refused(self.now, self.now, self.count, 0.0)


@pytest.mark.parametrize("rate", [2.0, 20.0, 100.0])
@pytest.mark.parametrize("burst_s", [1.0, 10.0, 60.0])
def test_it_finds_the_rate_of_any_bucket_and_keeps_to_it(rate: float, burst_s: float) -> None:
    server = Server(rate, rate * burst_s)
    server.run(burst_s + 60, offered=rate * 5)
    accepted, refused = server.accepted, server.refused
    server.run(300, offered=rate * 5)
    assert (server.accepted - accepted) / 300 > 0.93 * rate
    assert (server.refused - refused) / (server.accepted - accepted) < 0.03


def test_without_a_refusal_there_is_no_pace() -> None:
    server = Server(1000.0, 1000.0)
    server.run(5, offered=100)
    assert server.pace.rate is None


def test_it_follows_a_limit_that_falls_to_a_tenth_and_comes_back() -> None:
    server = Server(50.0, 50.0)
    server.run(60, offered=250)
    server.rate, server.burst = 5.0, 5.0
    server.run(60, offered=250)
    assert server.pace.rate is not None
    assert 4.0 < server.pace.rate < 8.0
    server.rate, server.burst = 50.0, 50.0
    server.run(120, offered=250)
    assert 40.0 < server.pace.rate < 80.0


def learned(rate: float) -> Pace:
    pace = Pace(1000.0)
    pace.rate, pace.watch_at = rate, float("-inf")
    return pace


def test_a_first_cut_halves_the_rate_sent_at_lately() -> None:
    pace = Pace(0.0)
    for count in range(1, 101):
        pace.sent(count * 0.01, count) if count * 0.01 >= pace.watch_at else None
    pace.refused(1.0, 1.0, 100, 0.0, plain=True)
    assert pace.rate == pytest.approx(50.0, rel=0.05)


def test_what_was_sent_before_a_cut_does_not_cut_again() -> None:
    pace = learned(100.0)
    pace.refused(1000.0, 1000.1, 0, 0.0)
    once = pace.rate
    pace.refused(1000.05, 1000.2, 0, 0.0)
    assert pace.rate == once


def test_you_grew_too_fast_cuts_to_a_quarter() -> None:
    pace = learned(100.0)
    pace.refused(1000.0, 1000.1, 0, 0.0, slow_ramp=True)
    assert pace.rate == 25.0


def test_it_never_falls_below_one_a_minute() -> None:
    pace = learned(1.0)
    for step in range(100):
        pace.refused(2000.0 + step, 2000.0 + step, 0, 0.0)
    assert pace.rate == LEAST


def test_it_grows_only_where_it_is_what_holds_the_pool_back() -> None:
    pace = learned(100.0)
    for step in range(200):
        pace.sent(1000.0 + step * 0.1, 0)
    assert pace.rate == 100.0


def test_its_growth_doubles_with_each_clean_step() -> None:
    pace, now, rates = learned(100.0), 1000.0, []
    for _ in range(12):
        for _ in range(int(pace.rate or 0) + 1):
            now += 1 / (pace.rate or 1.0)
            pace.sent(now, 0)
        rates.append(pace.rate or 0.0)
    grown = [after / before for before, after in pairwise(rates) if after > before]
    assert grown == pytest.approx(sorted(grown))
    assert grown[-1] == pytest.approx(1 + BOLDEST)
    assert WARY < BOLD < BOLDEST


def refused_at_random(server: Server, share: float, seconds: float) -> None:
    """A server without a limit that refuses this share, whatever the pace."""
    chance, end, next_at = random.Random(1), server.now + seconds, server.now
    while server.now < end:
        server.now += 0.001
        if server.now < next_at or (server.pace.rate is not None and server.pace.wait(server.now) > 0):
            continue
        next_at = server.now + 0.01
        server.count += 1
        if server.now >= server.pace.watch_at:
            server.pace.sent(server.now, server.count)
        if chance.random() < share:
            server.pace.refused(server.now, server.now, server.count, 0.0)
        else:
            server.accepted += 1


@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
def test_refusals_at_random_are_found_out_to_be_noise(share: float) -> None:
    server = Server(1.0, 1.0)
    refused_at_random(server, 0.0, 2)
    refused_at_random(server, share, 120)
    assert server.pace.noise.share == pytest.approx(share, rel=0.9)
    accepted = server.accepted
    refused_at_random(server, share, 60)
    assert server.accepted - accepted > 60 * 100 * (1 - share) * 0.6


def test_behind_noise_a_true_limit_is_still_found() -> None:
    server = Server(1.0, 1.0)
    refused_at_random(server, 0.0, 2)
    refused_at_random(server, 0.1, 120)
    server.rate, server.burst, server.level = 20.0, 20.0, 20.0
    server.run(60, offered=100)
    accepted, refused = server.accepted, server.refused
    server.run(120, offered=100)
    assert (server.accepted - accepted) / 120 > 0.9 * 20
    assert (server.refused - refused) < 0.6 * (server.accepted - accepted)
