"""The simulated provider's cache of prompts tells what was really read before."""

from __future__ import annotations

from typing import Any

import pytest

from batchllm.simulator import SimulatorOptions
from batchllm.simulator.prefix_cache import BLOCK_TOKENS, PrefixCache, prompt

BYTES = 4 * BLOCK_TOKENS


def body(*texts: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}


def blocks_of(one: dict[str, Any]) -> int:
    return len(prompt(one)) // BYTES


def test_a_prompt_that_was_read_is_found_again_in_whole_blocks() -> None:
    cache, one = PrefixCache(100_000, 1.0), body("x" * 5000)
    assert cache.look(one, 0.0) == 0
    assert cache.look(one, 1.0) == blocks_of(one) * BLOCK_TOKENS


def test_prompts_that_are_sent_before_the_first_is_read_find_nothing() -> None:
    cache, one = PrefixCache(100_000, 1.0), body("x" * 5000)
    assert [cache.look(one, now) for now in (0.0, 0.5, 0.99)] == [0, 0, 0]
    assert cache.look(one, 1.0) > 0


def test_what_stands_behind_the_first_difference_is_not_found() -> None:
    cache = PrefixCache(100_000, 0.0)
    cache.look(body("s" * 4 * BYTES, "a", "t" * 4 * BYTES), 0.0)
    assert 3 * BLOCK_TOKENS <= cache.look(body("s" * 4 * BYTES, "b", "t" * 4 * BYTES), 0.0) <= 4 * BLOCK_TOKENS


def test_the_longest_unused_is_forgotten_first() -> None:
    one, other, third = (body(letter * 4 * BYTES) for letter in "abc")
    cache = PrefixCache((blocks_of(one) + blocks_of(other)) * BLOCK_TOKENS, 0.0)
    cache.look(one, 0.0)
    cache.look(other, 1.0)
    assert cache.look(one, 2.0) > 0
    cache.look(third, 3.0)
    assert cache.look(one, 4.0) > 0
    assert cache.look(other, 5.0) == 0


def test_a_cache_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="prefix_cache"):
        SimulatorOptions(prefix_cache=0)
