"""A real process may be killed at any moment, started twice, or refused by the kernel: nothing is lost or bought twice."""

from __future__ import annotations

import pytest

from tests.crash.processes import double_starts, file_size_limits, real_kills


def _holds(counts):
    assert not counts.broken, f"{counts}\n" + "\n".join(counts.broken[:10])
    assert counts.repeats <= counts.bound


def test_kill_9_under_load_costs_at_most_what_was_in_flight():
    _holds(real_kills(8, seed=1))


def test_of_eight_processes_started_at_once_one_sends():
    _holds(double_starts(1))


def test_a_short_count_of_the_kernel_ends_with_74_and_the_next_run_completes():
    _holds(file_size_limits(1))


@pytest.mark.sweep
def test_kill_9_two_hundred_times():
    _holds(real_kills(200, seed=2))


@pytest.mark.sweep
def test_eight_processes_started_at_once_twenty_times():
    _holds(double_starts(20))


@pytest.mark.sweep
def test_twenty_limits_on_the_size_of_a_file():
    _holds(file_size_limits(20))
