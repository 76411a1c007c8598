"""What a reply's headers say of the server's limits, vendor by vendor; pure, and cheap where they do not.

Units differ and no header names them (Groq's requests count a day, its tokens a minute): read `remaining`
against `reset`, never `limit` as a rate of a minute. Negative values are sentinels (Azure's Responses API
sends -1/-1/0) and count as unsaid.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from batchllm.retry_after import http_date, moment_s
from batchllm.types import Limits

_Names = tuple[str, str, str]  # the names of limit, remaining and reset


def _infix(prefix: str, what: str) -> _Names:
    return f"{prefix}-limit-{what}", f"{prefix}-remaining-{what}", f"{prefix}-reset-{what}"


def _suffix(prefix: str) -> _Names:
    return f"{prefix}-limit", f"{prefix}-remaining", f"{prefix}-reset"


_REQUESTS: tuple[_Names, ...] = (  # the first row that is there counts
    _infix("x-ratelimit", "requests"),  # OpenAI's rate limit guide; Azure, Groq, OpenRouter, DigitalOcean
    _infix("x-ratelimit", "requests-minute"),  # Cerebras
    _infix("x-ratelimit", "requests-day"),
    _suffix("anthropic-ratelimit-requests"),  # Anthropic's rate limit page; resets are RFC 3339 times
    _suffix("modelscope-ratelimit-model-requests"),  # ModelScope: the model's day, then the user's
    _suffix("modelscope-ratelimit-requests"),
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),  # Moonshot, OpenRouter
    ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),  # the IETF draft
)
_TOKENS: tuple[_Names, ...] = (
    _infix("x-ratelimit", "tokens"),
    _infix("x-ratelimit", "tokens-per-minute"),  # DigitalOcean; resets are epochs
    _infix("x-ratelimit", "tokens-minute"),
    _infix("x-ratelimit", "tokens-per-day"),
    _suffix("anthropic-ratelimit-tokens"),
    _suffix("anthropic-ratelimit-input-tokens"),
)
_KNOWN = frozenset(name for row in (*_REQUESTS, *_TOKENS) for name in row[:2])
_FAR = datetime.max.replace(tzinfo=UTC)  # with no clock known every time counts as past: unsaid


def read_limits(headers: Mapping[str, str], now: datetime | None = None) -> Limits | None:
    """The limits a reply reveals, None if it reveals none. Header names are lower case.

    Resets that name a time are counted from the reply's own `Date`, else from `now`, else they stay unsaid.
    """
    if _KNOWN.isdisjoint(headers):
        return None
    limits = Limits(*_read(headers, _REQUESTS, now), *_read(headers, _TOKENS, now))
    return None if limits == _NOTHING else limits


_NOTHING = Limits()


def _read(
    headers: Mapping[str, str], rows: tuple[_Names, ...], now: datetime | None
) -> tuple[int | None, int | None, float | None]:
    for limit, remaining, reset in rows:
        if remaining in headers or limit in headers:
            wait = _reset(headers, headers.get(reset), now)
            return _count(headers.get(limit)), _count(headers.get(remaining)), wait
    return None, None, None


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isdigit() and text.isascii() and len(text) <= 18:
        return int(text)
    whole, _, rest = text.strip().partition(".")  # some gateways write 2999.0
    plain = whole.isdigit() and whole.isascii() and len(whole) <= 18 and not rest.strip("0")
    return int(whole) if plain else None


def _reset(headers: Mapping[str, str], text: str | None, now: datetime | None) -> float | None:
    if not text:
        return None
    if text[-1] in "smh":  # a duration, which needs no date: the common case, on the hot path
        return moment_s(text, _FAR)
    return moment_s(text, http_date(headers.get("date", "")) or now or _FAR)
