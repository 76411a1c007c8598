"""What headers reveal of a server's limits, one row per vendor's dialect."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from timeit import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.ratelimit_headers import _KNOWN, read_limits
from batchllm.types import Limits

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
PLAIN = {f"x-header-{i}": "value" for i in range(12)} | {"content-type": "application/json", "x-request-id": "r"}
OPENAI = {
    "x-ratelimit-limit-requests": "10000", "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-limit-tokens": "200000", "x-ratelimit-remaining-tokens": "199990",
    "x-ratelimit-reset-tokens": "6m0s",
}  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        pytest.param(OPENAI, Limits(10000, 9999, 0.006, 200000, 199990, 360.0), id="openai"),
        pytest.param({"x-ratelimit-remaining-requests": "5", "x-ratelimit-limit-tokens": "30000",
                      "x-ratelimit-remaining-tokens": "100", "x-ratelimit-reset-tokens": "20"},
                     Limits(None, 5, None, 30000, 100, 20.0), id="azure"),
        pytest.param({"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1",
                      "x-ratelimit-reset-tokens": "0"}, None, id="azure-sentinels"),
        pytest.param({"anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
                      "anthropic-ratelimit-requests-reset": "2026-01-02T12:00:30Z",
                      "anthropic-ratelimit-input-tokens-limit": "40000",
                      "anthropic-ratelimit-input-tokens-remaining": "39000",
                      "anthropic-ratelimit-input-tokens-reset": "2026-01-02T12:01:00Z"},
                     Limits(50, 49, 30.0, 40000, 39000, 60.0), id="anthropic"),
        pytest.param({"x-ratelimit-limit-requests": "14400", "x-ratelimit-remaining-requests": "14370",
                      "x-ratelimit-reset-requests": "2m59.56s"}, Limits(14400, 14370, 179.56), id="groq"),
        pytest.param({"x-ratelimit-limit-tokens-per-minute": "900",
            "x-ratelimit-remaining-tokens-per-minute": "10",
                      "x-ratelimit-reset-tokens-per-minute": str(int(NOW.timestamp()) + 42)},
                     Limits(tokens_limit=900, tokens_remaining=10, tokens_reset_s=42.0), id="digitalocean"),
        pytest.param({"modelscope-ratelimit-requests-limit": "2000",
            "modelscope-ratelimit-requests-remaining": "1500",
                      "modelscope-ratelimit-model-requests-limit": "500",
                      "modelscope-ratelimit-model-requests-remaining": "3"}, Limits(500, 3), id="modelscope"),
        pytest.param({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "59", "x-ratelimit-reset": "1"},
                     Limits(60, 59, 1.0), id="moonshot"),
        pytest.param({"x-ratelimit-remaining-requests": "2999.0"}, Limits(requests_remaining=2999),
            id="decimals"),
        pytest.param({"x-ratelimit-remaining-requests": "many"}, None, id="no number"),
        pytest.param({"x-ratelimit-reset-requests": "6s"}, None, id="a reset alone"),
        pytest.param(PLAIN, None, id="none"),
        pytest.param({}, None, id="empty"),
    ],
)  # fmt: skip
def test_each_dialect_is_read(headers: dict[str, str], limits: Limits | None) -> None:
    assert read_limits(headers, NOW) == limits


def test_a_reset_that_names_a_time_needs_a_date() -> None:
    headers = {"anthropic-ratelimit-requests-remaining": "1", "anthropic-ratelimit-requests-reset": "2026-01-02T12:00:30Z"}
    assert read_limits(headers) == Limits(requests_remaining=1)
    dated = {**headers, "date": "Fri, 02 Jan 2026 12:00:00 GMT"}
    assert read_limits(dated) == Limits(requests_remaining=1, requests_reset_s=30.0)


@given(st.dictionaries(st.sampled_from(sorted(_KNOWN)), st.text("0123456789.-smh") | st.text()))
def test_no_header_makes_it_raise(headers: dict[str, str]) -> None:
    limits = read_limits(headers, NOW)
    assert limits is None or all(value is None or value >= 0 for value in (limits.requests_limit, limits.tokens_reset_s))


def test_it_is_cheap_on_the_hot_path() -> None:
    """3 us without such headers, 10 us with OpenAI's six; the bounds leave room for a busy machine."""
    for headers, bound_us in ((PLAIN, 3 * 5), (OPENAI, 10 * 5)):
        best = min(repeat(partial(read_limits, headers), number=2000, repeat=5)) / 2000 * 1e6
        assert best < bound_us
