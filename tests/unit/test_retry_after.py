"""How long a reply asks us to wait: one row per form seen, and no text that makes a parser raise."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.retry_after import LONGEST_S, body_wait, duration_s, http_date, moment_s, rfc3339, server_wait

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
SKEWED = NOW + timedelta(hours=5)


def http(when: datetime) -> str:
    return format_datetime(when, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "nonsense", "retry-after": "9"}, 9.0),
        ({"retry-after": http(NOW + timedelta(seconds=30))}, 30.0),
        ({"retry-after": http(NOW - timedelta(seconds=30))}, None),
        ({"retry-after": http(NOW + timedelta(seconds=30)), "date": http(NOW - timedelta(seconds=60))}, 90.0),
        ({"retry-after": "2026-01-02T12:00:20Z"}, 20.0),
        ({"retry-after": "2m30s"}, 150.0),
        ({"retry-after": str(int(NOW.timestamp()) + 45)}, 45.0),
    ],
)
def test_the_wait_stands_in_the_headers(headers: dict[str, str], wait: float | None) -> None:
    assert server_wait(headers, None, NOW) == wait


def test_the_replys_own_date_cancels_a_wrong_clock() -> None:
    headers = {"retry-after": http(NOW + timedelta(seconds=10)), "date": http(NOW)}
    assert server_wait(headers, None, SKEWED) == 10.0


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "-0.5", "nan", "inf", "-inf", "Infinity", "1e9", "1e400", "３７", "٣", "1_000", "0x10", "+5",
     "", " ",
     "Fri, 31 Dec 999999 23:59:59 GMT", "soon", "3 apples", "-5s", "0s", "0ms"],
)  # fmt: skip
def test_an_absurd_retry_after_says_nothing(text: str) -> None:
    assert server_wait({"retry-after": text}, None, NOW) is None
    assert server_wait({"retry-after-ms": text}, None, NOW) is None


@pytest.mark.parametrize("text", ["100000000000000000000", "9" * 30, "99999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_beyond_a_year_is_cut_to_one(text: str) -> None:
    assert server_wait({"retry-after": text}, None, NOW) == LONGEST_S


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("Please retry in 46s.", 46.0),
        ("Please retry in 46.573837912s.", 46.573837912),
        ("Rate limit reached for m: Limit 6000, Used 5, Requested 7. Please try again in 11.955s. Visit x", 11.955),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 1h2m3.5s", 3723.5),
        ("try again in 823ms", 0.823),
        ("Please retry after 37 seconds.", 37.0),
        ("Please retry after 1 minute and 5 seconds", 65.0),
        ("Quota resets in 2 hours", 7200.0),
        ("Please wait 5 seconds before the next request", 5.0),
        ("请在 30 秒后重试", 30.0),
        ("You will regain access on 2026-01-03 at 00:00 UTC.", 43200.0),
        ("Your limit resets at 2026-01-02T12:30:00+00:00", 1800.0),
        ("Your limit resets at 2026-01-02T12:30:00", None),  # without a zone it could be any hour
        ("You have 3 seconds of audio", None),
        ("Limit 20 per 60s", None),
        ("retry in 0s", None),
        ("try again in ５ seconds", None),
    ],
)
def test_the_wait_stands_in_the_words(text: str, wait: float | None) -> None:
    assert body_wait({"error": {"message": text}}, NOW) == pytest.approx(wait)
    assert server_wait({}, text, NOW) == pytest.approx(wait)


def test_googles_retry_delay_and_its_message_agree_on_the_longer() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "47s"}]
    body = [{"error": {"message": "Please retry in 46.5s.", "details": details}}]
    assert server_wait({}, body, NOW) == 47.0


def test_a_header_wins_over_words_and_words_over_resets() -> None:
    body = {"error": {"message": "Please try again in 12s"}}
    resets = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}
    assert server_wait({**resets, "retry-after": "3"}, body, NOW) == 3.0
    assert server_wait(resets, body, NOW) == 12.0
    assert server_wait(resets, None, NOW) == 360.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s",
          "x-ratelimit-remaining-tokens": "50", "x-ratelimit-reset-tokens": "6m0s"}, 2.0),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, None),
        ({"x-ratelimit-reset-tokens": "-1"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20"}, 20.0),
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2026-01-02T12:00:30Z"}, 30.0),
        ({"x-ratelimit-remaining-tokens-per-day": "0", "x-ratelimit-reset-tokens-per-day": str(NOW.timestamp() + 60)}, 60.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp() + 60) * 1000)}, 60.0),
    ],
)  # fmt: skip
def test_resets_count_where_nothing_is_left(headers: dict[str, str], wait: float | None) -> None:
    assert server_wait(headers, None, NOW) == pytest.approx(wait)
    assert server_wait(headers, None, NOW, refused=False) is None


def test_openrouters_reset_stands_in_the_body() -> None:
    reset = str(int(NOW.timestamp() + 90) * 1000)
    metadata = {"headers": {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}}
    assert server_wait({}, {"error": {"message": "m", "metadata": metadata}}, NOW) == 90.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12ms", 0.012), ("1s", 1.0), ("6m0s", 360.0), ("1h2m3.5s", 3723.5), ("7.66s", 7.66), ("2d", 172800.0),
     ("37 seconds", 37.0), ("59", 59.0), ("59.", 59.0), ("1h2x", None), ("s", None), ("1 s s", None)],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["error", "message", "details", "retryDelay", "headers", "metadata", "x"]) | st.text(), inner
    ),
    max_leaves=20,
)  # fmt: skip
LIKELY = st.text("0123456789.smhd -:TZ+eEinfa/,GMTFriJan") | st.text()


@given(LIKELY)
def test_no_text_makes_a_parser_raise_or_wait_forever(text: str) -> None:
    for value in (duration_s(text), moment_s(text, NOW)):
        assert value is None or (math.isfinite(value) and value >= 0)
    for when in (http_date(text), rfc3339(text)):
        assert when is None or when.tzinfo is not None


NAMES = st.sampled_from(["retry-after", "retry-after-ms", "date", "x-ratelimit-reset-tokens"])


@given(st.dictionaries(NAMES, LIKELY), ANY_JSON)
def test_no_reply_makes_the_wait_raise_or_endless(headers: dict[str, str], body: object) -> None:
    wait = server_wait(headers, body, NOW)
    assert wait is None or 0 < wait <= LONGEST_S


def test_deep_and_long_bodies_are_read_in_bounded_time() -> None:
    deep: object = "retry in 5s"
    for _ in range(5000):
        deep = {"error": deep}
    assert body_wait(deep, NOW) is None
    assert body_wait("retry in " * 200_000, NOW) is None


def test_a_clock_without_a_zone_counts_as_utc() -> None:
    assert server_wait({"retry-after": http(NOW + timedelta(seconds=5))}, None, NOW.replace(tzinfo=None)) == 5.0
