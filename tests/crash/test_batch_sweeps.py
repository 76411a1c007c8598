"""A run through the Batch API that dies anywhere costs nothing: no line is submitted twice, lost, or booked otherwise."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import cache

import pytest

from batchllm.testing import Fault, FaultyStorage, QuickDisk
from tests.crash.batches import (
    SCENES,
    Crash,
    Scene,
    Undisturbed,
    call_deaths,
    crash_at_call,
    crash_at_storage,
    disk_trouble,
    some,
    stage,
    storage_deaths,
    undisturbed,
)

EVERY = pytest.mark.parametrize("scene", SCENES.values(), ids=lambda scene: scene.name)
USUAL = cache(undisturbed)


def _at_calls(scene: Scene, share: float, seed: int) -> Iterator[str]:
    usual: Undisturbed = USUAL(scene.name)
    for crash in some(call_deaths(usual), share, seed):
        yield from crash_at_call(scene, crash, usual)


def _at_storage(scene: Scene, share: float, seed: int) -> Iterator[str]:
    usual: Undisturbed = USUAL(scene.name)
    for fault in some(storage_deaths(usual), share, seed):
        yield from crash_at_storage(scene, fault, usual)


def _on_a_bad_disk(scene: Scene, share: float, seed: int) -> Iterator[str]:
    usual: Undisturbed = USUAL(scene.name)
    numbers = range(1, len(usual.storage) + 1)
    faults = [Fault(at, "error", errno.ENOSPC, lasting=lasting) for at in numbers for lasting in (False, True)]
    for fault in some(faults, share, seed):
        yield from disk_trouble(scene, fault, usual)


@EVERY
def test_a_death_before_or_after_a_call_to_the_provider_submits_nothing_twice(scene: Scene) -> None:
    assert not list(_at_calls(scene, 0.05, 1))


@EVERY
def test_a_death_at_any_storage_call_loses_nothing_and_submits_nothing_twice(scene: Scene) -> None:
    assert not list(_at_storage(scene, 0.006, 2))


@EVERY
def test_a_disk_that_refuses_ends_the_run_with_74_and_nothing_is_paid_for_twice(scene: Scene) -> None:
    assert not list(_on_a_bad_disk(scene, 0.004, 7))


@pytest.mark.sweep
@EVERY
def test_a_disk_that_refuses_one_call_in_four(scene: Scene) -> None:
    assert not list(_on_a_bad_disk(scene, 0.25, 8))


@pytest.mark.sweep
@EVERY
def test_a_death_before_or_after_every_call_to_the_provider(scene: Scene) -> None:
    assert not list(_at_calls(scene, 1.0, 3))


@pytest.mark.sweep
@EVERY
def test_a_death_at_every_storage_call_and_in_every_write(scene: Scene) -> None:
    assert not list(_at_storage(scene, 1.0, 4))


@pytest.mark.sweep
@EVERY
def test_a_second_death_while_the_first_is_recovered_from(scene: Scene) -> None:
    usual: Undisturbed = USUAL(scene.name)
    broken: list[str] = []
    for first, second in zip(some(call_deaths(usual), 0.5, 5), some(storage_deaths(usual), 0.2, 6), strict=False):
        with stage(scene) as trial:
            trial.live(FaultyStorage(inner=QuickDisk()), first)
            trial.live(FaultyStorage(second, QuickDisk()))
            broken += trial.outcome(usual, f"{first} then {second}")
    assert not broken


def test_a_provider_that_does_not_show_what_it_holds_is_noticed_by_these_sweeps() -> None:
    """The control: where no batch is ever listed, a death behind a creation makes the run create it once more."""
    scene = SCENES["plain"]
    usual: Undisturbed = USUAL(scene.name)
    creation = usual.calls.index("create") + 1
    assert any("lines were submitted" in one for one in crash_at_call(scene, Crash(creation, "after"), usual, blind=True))
