"""Whatever happens to an output folder, in whatever order, every promise holds after every step."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from batchllm.testing import Fault
from tests.crash.history import ERRORS, history
from tests.crash.scenes import CONCURRENCY, SCENES
from tests.crash.sweeps import Counts, cancels

CALLS = st.integers(1, 130)
SHARES = st.sampled_from((0.0, 0.01, 0.5, 0.999))
DURABLE = st.sampled_from(("each", "none"))
CHANGES = st.sampled_from(("refuse", "rerun", "keep"))
SEEDS = st.integers(0, 1000)
NUMBERS = st.integers(0, 40)


class Folder(RuleBasedStateMachine):
    """One output folder's history; `counts` adds up over all that were lived through."""

    counts = Counts()

    def __init__(self):
        super().__init__()
        self.closing = contextlib.ExitStack()
        self.history = self.closing.enter_context(history())

    def teardown(self):
        made = self.history
        Folder.counts += Counts(made.steps, [], made.worst, CONCURRENCY, {"lives": made.lives, "histories": 1})
        self.closing.close()

    @initialize(bad=st.booleans())
    def begin(self, bad):
        self.history.job.bad = bad

    @rule(durability=DURABLE, on_change=CHANGES, retry_failed=st.booleans(), stream=st.booleans())
    def run(self, **flags):
        self.history.run(**flags)

    @rule(at=CALLS, share=st.none() | SHARES, durability=DURABLE, on_change=CHANGES)
    def kill(self, at, share, **flags):
        fault = Fault(at) if share is None else Fault(at, "torn", share=share)
        self.history.run(fault, lost=CONCURRENCY, **flags)

    @rule(at=CALLS, share=SHARES, seed=SEEDS, durability=DURABLE)
    def power_goes_in_a_run(self, at, share, seed, **flags):
        self.history.run(Fault(at, "torn", share=share), lost=CONCURRENCY, power=random.Random(seed), **flags)

    @rule(seed=SEEDS)
    def power_goes(self, seed):
        self.history.cut_power(random.Random(seed))

    @rule(at=CALLS, number=st.sampled_from(ERRORS), lasting=st.booleans(), durability=DURABLE)
    def disk_fails(self, at, number, lasting, **flags):
        self.history.run(Fault(at, "error", number=number, lasting=lasting), **flags)

    @rule(at=CALLS, share=SHARES, lasting=st.booleans(), durability=DURABLE)
    def disk_is_full(self, at, share, lasting, **flags):
        self.history.run(Fault(at, "short", number=ERRORS[0], lasting=lasting, share=share, least=1), **flags)

    @rule(turns=st.integers(1, 60), durability=DURABLE)
    def signal(self, turns, **flags):
        self.history.run(drain_after=turns, **flags)

    @rule(turns=st.integers(1, 60), durability=DURABLE)
    def second_signal(self, turns, **flags):
        self.history.run(cancel_after=turns, lost=CONCURRENCY, **flags)

    @rule(at=st.integers(1, 6), durability=DURABLE)
    def second_run(self, at, **flags):
        self.history.run(second_at=at, **flags)

    @rule(at=st.none() | CALLS, durability=DURABLE)
    def fresh(self, at, **flags):
        self.history.run(None if at is None else Fault(at), lost=0 if at is None else CONCURRENCY, fresh=True, **flags)

    @rule(at=NUMBERS)
    def edit(self, at):
        self.history.job.edit(at)

    @rule(count=st.integers(1, 3))
    def append(self, count):
        if self.history.job.made < 60:
            self.history.job.append(count)

    @rule(at=NUMBERS)
    def repeat_a_line(self, at):
        if self.history.job.made < 60:
            self.history.job.twin(at)

    @rule()
    def insert(self):
        if self.history.job.made < 60:
            self.history.job.insert()

    @rule(at=NUMBERS)
    def remove(self, at):
        self.history.job.remove(at)

    @rule()
    def reorder(self):
        self.history.job.reverse()

    @rule()
    def change_settings(self):
        self.history.model += 1

    @invariant()
    def files_are_readable(self):
        self.history.standing()


def live(examples: int, steps: int, *, shrink: bool = True) -> Counts:
    """So many histories of so many steps each; raises AssertionError with one that breaks a promise, made short."""
    Folder.counts = Counts()
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    checks = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
    run_state_machine_as_test(
        Folder,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, derandomize=True, database=None, deadline=None,
            suppress_health_check=checks, phases=phases,
        ),
    )  # fmt: skip
    return Folder.counts


def test_every_promise_holds_after_every_step():
    counts = live(100, 25)
    assert counts.points > 500
    assert counts.repeats <= CONCURRENCY


@pytest.mark.sweep
def test_every_promise_holds_after_every_of_many_steps():
    assert live(2000, 40).points > 20_000


def test_lines_that_moved_are_not_taken_for_others():
    with history() as made:
        made.run()
        made.job.insert()
        made.job.reverse()
        made.run()


def test_a_line_that_repeats_another_is_asked_all_the_same():
    with history() as made:
        made.run()
        made.job.twin(0)
        made.run()


def test_a_cancel_at_every_turn_leaves_no_request_unaccounted_for():
    counts = cancels(SCENES["plain"], 1.0)
    assert not counts.broken, "\n".join(counts.broken[:10])
