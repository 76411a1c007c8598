"""A server that charges what it refuses, told of by a hint that is a hair too short, is not knocked at for ever."""

from batchllm.testing.seeds import random_plan
from batchllm.testing.simulation import run


def test_a_hint_that_is_refused_again_and_again_is_outgrown() -> None:
    trace = run(random_plan(9069))
    assert trace.ended - trace.began < 3600
    assert len(trace.visits) < 500
