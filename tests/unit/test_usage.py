"""Usage: non-negative whole numbers or unknown; never a guess, never zero for unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.types import Usage
from batchllm.usage import ABSURD, count, read_usage

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NAMES = st.sampled_from(
    [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "reasoning_tokens",
        "cache_read_input_tokens",
    ]
)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        pytest.param(
            {
                "prompt_tokens": 80,
                "completion_tokens": 20,
                "total_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 32, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 8},
            },
            Usage(80, 20, 100, 32, 8),
            id="chat",
        ),
        pytest.param(
            {
                "input_tokens": 36,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 87,
                "output_tokens_details": {"reasoning_tokens": 7},
                "total_tokens": 123,
            },
            Usage(36, 87, 123, 0, 7),
            id="responses",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 6},
            Usage(10, 2, 12, 6, None),
            id="deepseek",
        ),
        pytest.param(
            {
                "input_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 10,
                "output_tokens": 3,
            },
            Usage(115, 3, 118, 100, None),
            id="anthropic: the input leaves the cached part out",
        ),
        pytest.param(
            {"prompt_tokens": 105, "cache_read_input_tokens": 100, "completion_tokens": 3},
            Usage(105, 3, 108, 100, None),
            id="a gateway before anthropic: the prompt is whole",
        ),
        pytest.param({"prompt_tokens": 4.0, "completion_tokens": 2.0}, Usage(4, 2, 6, None, None), id="integral floats"),
        pytest.param({"prompt_tokens": 4, "total_tokens": 9}, Usage(4, 5, 9), id="completion follows"),
        pytest.param({"completion_tokens": 5, "total_tokens": 9}, Usage(4, 5, 9), id="prompt follows"),
        pytest.param({"prompt_tokens": 4, "total_tokens": 4}, Usage(4, None, 4), id="no proof of zero"),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 5}, Usage(0, 5, 5), id="one zero"),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None, id="all zeros"),
        pytest.param({"prompt_tokens": True, "completion_tokens": False}, None, id="bools"),
        pytest.param({"prompt_tokens": "12", "completion_tokens": "3"}, None, id="strings"),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 3}, Usage(None, 3, None), id="negative"),
        pytest.param({"prompt_tokens": 1.5}, None, id="fraction"),
        pytest.param({"prompt_tokens": ABSURD}, None, id="absurd"),
        pytest.param({"prompt_tokens": 7, "prompt_tokens_details": None}, Usage(7), id="null details"),
        pytest.param({"prompt_tokens": 7, "prompt_tokens_details": [1]}, Usage(7), id="odd details"),
        pytest.param({}, None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param([], None, id="list"),
        pytest.param("usage", None, id="text"),
    ],
)
def test_usage_is_read_from_every_providers_names(raw: Any, usage: Usage | None) -> None:
    assert read_usage(raw) == usage


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(8, 0, 8)),
        ({"total_tokens": 8}, Usage(8, 0, 8)),
        ({"prompt_tokens": 8}, Usage(8, 0, 8)),
        ({"total_tokens": None}, None),
    ],
)
def test_an_endpoint_that_generates_nothing_has_a_completion_of_zero(raw: Any, usage: Usage | None) -> None:
    assert read_usage(raw, generates=False) == usage


@given(JSON)
def test_any_value_is_read_without_raising(value: Any) -> None:
    read_usage(value)


@given(st.dictionaries(NAMES, JSON), st.booleans())
def test_whatever_stands_in_the_fields_figures_are_counts(raw: dict[str, Any], generates: bool) -> None:
    usage = read_usage(raw, generates=generates)
    if usage is not None:
        figures = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens)
        assert all(figure is None or (type(figure) is int and figure >= 0) for figure in figures)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, -1, "1", None, [], 10**400])
def test_what_is_no_count_is_none(value: Any) -> None:
    assert count(value) is None
