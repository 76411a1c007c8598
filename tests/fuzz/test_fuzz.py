"""Whatever a server, a file or a model sends, nothing comes out but what was agreed on."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchllm.item import Done, Item
from batchllm.types import Reply, Request
from tests.faultserver.bodies import BODIES
from tests.fuzz import corpus
from tests.fuzz.campaign import attempt, fuzz, fuzz_count, seeds_of
from tests.fuzz.targets import TARGETS, TYPES, route

EACH = 400
NAMES = pytest.mark.parametrize("target", TARGETS)
QUIET = settings(deadline=None, derandomize=True, database=None, max_examples=60, suppress_health_check=list(HealthCheck))

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(("error", "message", "code", "choices", "delta", "content", "index", "usage", "body", "prompt", ""))
        | st.text(max_size=4),
        inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


def _holds(tried):
    assert not tried.broken, "\n".join(tried.broken[:10])


@NAMES
def test_recorded_input_bent_in_any_way_is_classified(target):
    tried = fuzz_count(target, EACH, seed=1)
    _holds(tried)
    assert tried.counts == {target: EACH}


@NAMES
def test_recorded_input_as_it_came_is_classified(target):
    for data in seeds_of(target):
        TARGETS[target](data, random.Random(1))


@NAMES
@QUIET
@given(value=JSON, seed=st.integers(0, 99))
def test_any_json_is_classified(target, value, seed):
    TARGETS[target](json.dumps(value).encode(), random.Random(seed))


@NAMES
@QUIET
@given(data=st.binary(max_size=60), seed=st.integers(0, 99))
def test_any_bytes_are_classified(target, data, seed):
    TARGETS[target](data, random.Random(seed))


@pytest.mark.parametrize("kind", TYPES)
def test_a_reply_is_read_whatever_type_it_says_it_is_of(kind):
    item = Item(route(), Request(1, "a", "/v1/chat/completions", {"model": "m", "messages": []}, "0" * 32))
    item.call(0.0)
    step = item.received(Reply(200, {"content-type": kind}, BODIES["openai"].raw, 0.1), 1.0, 0.5)
    assert isinstance(step, Done)
    assert step.record.ok


def test_the_same_seed_gives_the_same_input():
    assert attempt("reply", 5, 17) == attempt("reply", 5, 17)
    assert len({attempt("events", seed, 0) for seed in range(50)}) > 40


def test_the_corpus_holds_every_kind_of_reply():
    assert len(corpus.replies()) > 80
    assert len(corpus.streams()) > 8


@pytest.mark.sweep
def test_minutes_of_bent_input_are_classified():
    tried = fuzz(300, seed=2)
    _holds(tried)
    assert all(tried.counts.get(target, 0) > 5_000 for target in TARGETS)
