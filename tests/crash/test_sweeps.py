"""No fault of the process or the disk, at any storage call, loses or doubles a record."""

from __future__ import annotations

import re

import pytest

from tests.crash.scenes import FRESH, GROUPED, SCENES
from tests.crash.sweeps import RANDOM, SWEEPS, THREADED, Counts, calls_of

EVERY = [*SCENES.values(), FRESH]


def _holds(counts: Counts, least: int) -> None:
    assert not counts.broken, f"{counts}\n" + "\n".join(counts.broken[:10])
    assert counts.repeats <= counts.bound
    assert counts.points >= least


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
def test_the_same_run_makes_the_same_calls(scene):
    def names(calls):
        return [re.sub(r"\.(torn-)?\d{8}T.*", "", call) for call in calls]

    assert names(calls_of(scene)) == names(calls_of(scene))


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
def test_a_kill_at_the_entry_of_any_call_costs_at_most_what_was_in_flight(scene):
    _holds(SWEEPS["kills"](scene, 1.0, 1), 25)


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
def test_a_write_torn_anywhere_is_repaired_by_the_next_run(scene):
    _holds(SWEEPS["tears"](scene, 0.3, 2), 10)


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
def test_a_failing_disk_stops_the_run_with_74_and_the_next_one_completes_it(scene):
    _holds(SWEEPS["errors"](scene, 0.06, 3), 12)


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
def test_a_short_count_is_taken_back_to_the_last_whole_record(scene):
    _holds(SWEEPS["short writes"](scene, 0.15, 4), 10)


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
def test_what_a_failed_fsync_has_lost_is_taken_back_from_the_rescue_file(scene):
    _holds(SWEEPS["lost pages"](scene, 1.0, 4), 1)


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
def test_a_cancelled_run_accounts_for_every_request_it_sent(scene):
    _holds(SWEEPS["cancels"](scene, 0.1, 5), 10)


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
@pytest.mark.parametrize("kind", RANDOM)
def test_a_second_kill_a_power_cut_and_a_disk_too_small_are_survived(scene, kind):
    _holds(RANDOM[kind](scene, 15, 5), 15)


@pytest.mark.parametrize("kind", THREADED)
def test_with_a_thread_that_syncs_in_groups_the_same_holds(kind):
    _holds(THREADED[kind](GROUPED, 8, 8), 8)


@pytest.mark.sweep
@pytest.mark.parametrize("kind", THREADED)
def test_with_a_thread_that_syncs_in_groups_the_same_holds_many_times(kind):
    _holds(THREADED[kind](GROUPED, 300, 9), 300)


@pytest.mark.sweep
@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
@pytest.mark.parametrize("kind", SWEEPS)
def test_every_point_of_every_sweep(scene, kind):
    _holds(SWEEPS[kind](scene, 1.0, 6), 1)


@pytest.mark.sweep
@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
@pytest.mark.parametrize("kind", RANDOM)
def test_hundreds_of_random_points(scene, kind):
    _holds(RANDOM[kind](scene, 500, 7), 500)
