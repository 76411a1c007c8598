"""How long a reply asks us to wait: from its headers, else from its words; pure, never raising on any text.

The first of these that says something wins (H3; openai-python tries the first two in the same order):

    retry-after-ms   milliseconds
    retry-after      seconds, or a date compared with the reply's own `Date`, so that clock skew cancels out
    the body         "Please retry in 46s", "try again in 11.955s", Google's retryDelay, "access on 2025-…"
    reset headers    only on a refusal; the largest of those whose `remaining` is 0 or absent

Words stand before resets because a reset is the time until a bucket is *full* again (OpenAI's rate limit
guide), far more than the wait the message names. Numbers are ASCII digits with decimals: `float()` would take
`nan`, `inf`, `1e9` and full-width digits (H4). Zero and less say nothing. A wait beyond a year is cut to 366
days rather than ignored: it stays what it is, a pause no run sits out, and ignoring it would mean knocking
again at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_S = 366 * 86_400.0

_EPOCH = 1e9  # a bare number this large is a point in time: seconds since 1970 …
_EPOCH_MS = 1e12  # … or milliseconds (OpenRouter)
_EPOCH_END = 1e14  # year 5138 in milliseconds: beyond is no date

_NUMBER = re.compile(r"[0-9]{1,30}(?:\.[0-9]{0,30})?", re.ASCII)
_UNITS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "秒"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "分钟"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "小时"), 3600.0),
    **dict.fromkeys(("d", "day", "days", "天"), 86_400.0),
}
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_COUNT = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_SPAN = rf"{_COUNT} ?(?:{_UNIT})(?![a-z])(?:(?: |, | and )?{_COUNT} ?(?:{_UNIT})(?![a-z])){{0,5}}"
_PART = re.compile(rf"({_COUNT}) ?({_UNIT})(?![a-z])", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(_SPAN, re.ASCII | re.IGNORECASE)

_WAIT_WORDS = re.compile(
    rf"(?:retry|try again|wait|available|resets?)[^.\n0-9]{{0,40}}?({_SPAN})|({_SPAN}) ?(?:后|之后)",
    re.ASCII | re.IGNORECASE,
)
_WHEN_WORDS = re.compile(
    r"(?:retry|again|access|resets?|until|available)[^0-9]{0,40}?([0-9]{4}-[0-9]{2}-[0-9]{2})(?:t| at | )"
    r"([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?) ?(z|utc|gmt|[+-][0-9]{2}:?[0-9]{2})",
    re.ASCII | re.IGNORECASE,
)

_RESETS = (  # reset header, the remaining count it belongs to
    *((f"x-ratelimit-reset-{what}", f"x-ratelimit-remaining-{what}")
      for what in ("requests", "tokens", "tokens-per-minute", "tokens-per-day", "tokens_usage_based",
                   "requests-day", "requests-minute", "tokens-minute", "tokens-day")),
    *((f"anthropic-ratelimit-{what}-reset", f"anthropic-ratelimit-{what}-remaining")
      for what in ("requests", "tokens", "input-tokens", "output-tokens")),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
)  # fmt: skip

_WAIT_KEYS = {"retrydelay": 1.0, "retry_after": 1.0, "retry_after_seconds": 1.0, "retry_after_ms": 0.001}
_TEXT_KEYS = frozenset({"error", "errors", "message", "msg", "detail", "details", "metadata", "raw"})
_TEXT_CHARS = 4000


def server_wait(headers: Mapping[str, str], body: Any | None, now: datetime, *, refused: bool = True) -> float | None:
    """Seconds this reply asks us to wait, None if it does not say; `now` is for replies without a `Date`."""
    now = http_date(headers.get("date", "")) or (now if now.tzinfo else now.replace(tzinfo=UTC))
    return (
        _bounded(_scaled(number(headers.get("retry-after-ms", "")), 0.001))
        or moment_s(headers.get("retry-after", ""), now)
        or body_wait(body, now)
        or (_reset_wait(headers, now) if refused else None)
    )


def number(text: str) -> float | None:
    """A plain number in ASCII digits; None for anything else, however `float()` would read it."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def duration_s(text: str) -> float | None:
    """Seconds in `12ms`, `6m0s`, `1h2m3.5s`, `37 seconds` or a plain number; None for anything else."""
    text = text.strip()
    if _DURATION.fullmatch(text):
        return _seconds(text)
    return number(text)


def _seconds(span: str) -> float:
    return sum(float(count) * _UNITS[unit.lower()] for count, unit in _PART.findall(span))


def moment_s(text: str, now: datetime) -> float | None:
    """Seconds until what a header says: a duration, an epoch (s or ms), an RFC 3339 time or an HTTP date."""
    seconds = duration_s(text)
    if seconds is None:
        when = rfc3339(text) or http_date(text)
        return _bounded((when - now).total_seconds()) if when else None
    if _EPOCH < seconds < _EPOCH_END and _NUMBER.fullmatch(text.strip()):
        seconds = (seconds / 1000 if seconds > _EPOCH_MS else seconds) - now.timestamp()
    return _bounded(seconds)


def http_date(text: str) -> datetime | None:
    """An HTTP date, always with a time zone."""
    if not text or not text.isascii():
        return None
    try:
        when = parsedate_to_datetime(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def rfc3339(text: str) -> datetime | None:
    """An RFC 3339 time; without a time zone it is none, since it could mean any hour of the day."""
    text = text.strip()
    if not text.isascii() or not text[:4].isdigit() or len(text) < 16:
        return None
    try:
        when = datetime.fromisoformat(text)
        return when.astimezone(UTC) if when.tzinfo else None
    except (ValueError, OverflowError):
        return None


def body_wait(body: Any | None, now: datetime) -> float | None:
    """The longest wait a reply's words name: a parsed body, or its plain text."""
    waits = [wait for wait in _hints(body, now, depth=0) if wait]
    return max(waits, default=None)


def _hints(value: Any, now: datetime, depth: int) -> Iterator[float | None]:
    if isinstance(value, str):
        yield from _text_hints(value[:_TEXT_CHARS], now)
    elif depth > 5:
        return
    elif isinstance(value, dict):
        if isinstance(value.get("headers"), dict):  # OpenRouter: they stand in error.metadata
            yield _reset_wait(_lower(value["headers"]), now)
        for key, item in value.items():
            if key.lower() in _WAIT_KEYS:
                yield _bounded(_scaled(duration_s(str(item)[:60]), _WAIT_KEYS[key.lower()]))
            elif key in _TEXT_KEYS:
                yield from _hints(item, now, depth + 1)
    elif isinstance(value, list):
        for item in value[:8]:
            yield from _hints(item, now, depth + 1)


def _text_hints(text: str, now: datetime) -> Iterator[float | None]:
    for found in _WAIT_WORDS.finditer(text):
        yield _bounded(_seconds(found[1] or found[2]))
    for found in _WHEN_WORDS.finditer(text):
        zone = found[3] if found[3][0] in "+-" else "+00:00"
        when = rfc3339(f"{found[1]}T{found[2]}{zone}")
        yield _bounded((when - now).total_seconds()) if when else None


def _reset_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    waits = [
        moment_s(headers[reset], now)
        for reset, remaining in _RESETS
        if reset in headers and number(headers.get(remaining, "0")) in (0.0, None)
    ]
    return max((wait for wait in waits if wait), default=None)


def _lower(headers: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _scaled(count: float | None, unit: float) -> float | None:
    return None if count is None else count * unit


def _bounded(seconds: float | None) -> float | None:
    """A wait that can be waited: more than nothing, at most a year."""
    return min(seconds, LONGEST_S) if seconds is not None and seconds > 0 else None
