"""What a reply's headers say of the server's limits, in every vendor's dialect; pure, and cheap where they say nothing.

A dialect is a row of header names, first the ones that bind first. Units differ (Groq's requests count a day, its
tokens a minute), and no vendor's headers name them: read `remaining` against `reset`, never `limit` as a rate of a
minute. Negative values are sentinels (Azure's Responses API sends -1/-1/0) and count as unsaid.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from batchllm.retry_after import http_date, moment_s
from batchllm.types import Limits

_Names = tuple[str, str, str]  # limit, remaining, reset

_REQUESTS: tuple[_Names, ...] = (
    # OpenAI's rate limit guide; Azure, Groq, OpenRouter, Cerebras and DigitalOcean use the same names
    ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-limit-requests-minute", "x-ratelimit-remaining-requests-minute", "x-ratelimit-reset-requests-minute"),
    ("x-ratelimit-limit-requests-day", "x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day"),
    # Anthropic's rate limit page
    ("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    # ModelScope's API-Inference limits: the model's count of the day, then the user's
    ("modelscope-ratelimit-model-requests-limit", "modelscope-ratelimit-model-requests-remaining", ""),
    ("modelscope-ratelimit-requests-limit", "modelscope-ratelimit-requests-remaining", ""),
    # Moonshot, OpenRouter, and the IETF draft
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
)  # fmt: skip
_TOKENS: tuple[_Names, ...] = (
    ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("x-ratelimit-limit-tokens-per-minute", "x-ratelimit-remaining-tokens-per-minute", "x-ratelimit-reset-tokens-per-minute"),
    ("x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"),
    ("x-ratelimit-limit-tokens-per-day", "x-ratelimit-remaining-tokens-per-day", "x-ratelimit-reset-tokens-per-day"),
    ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining",
     "anthropic-ratelimit-input-tokens-reset"),
)  # fmt: skip

_REQUESTS_OF = {name: row for row in reversed(_REQUESTS) for name in row[:2]}
_TOKENS_OF = {name: row for row in reversed(_TOKENS) for name in row[:2]}
_KNOWN = frozenset((*_REQUESTS_OF, *_TOKENS_OF))
_OPENAI = (_REQUESTS[0], _TOKENS[0])


def read_limits(headers: Mapping[str, str], now: datetime | None = None) -> Limits | None:
    """The limits a reply reveals, None if it reveals none. Header names are lower case.

    Resets that name a time are counted from the reply's own `Date`, else from `now`, else they stay unsaid.
    """
    if _KNOWN.isdisjoint(headers):
        return None
    requests = _row(headers, _REQUESTS)
    tokens = _row(headers, _TOKENS)
    limits = Limits(*_read(headers, requests, now), *_read(headers, tokens, now))
    return None if limits == _NOTHING else limits


_NOTHING = Limits()


def _row(headers: Mapping[str, str], rows: tuple[_Names, ...]) -> _Names | None:
    """The first row with a count in it; of two that hold together (ModelScope) the table puts the closer one first."""
    for row in rows:
        if row[1] in headers or row[0] in headers:
            return row
    return None


def _read(
    headers: Mapping[str, str], row: _Names | None, now: datetime | None
) -> tuple[int | None, int | None, float | None]:
    if row is None:
        return None, None, None
    limit, remaining, reset = row
    return _count(headers.get(limit)), _count(headers.get(remaining)), _reset(headers, headers.get(reset), now)


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isdigit() and text.isascii() and len(text) <= 18:
        return int(text)
    whole, _, rest = text.strip().partition(".")  # some gateways write 2999.0
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) <= 18 and not rest.strip("0") else None


def _reset(headers: Mapping[str, str], text: str | None, now: datetime | None) -> float | None:
    if not text:
        return None
    if text[-1] in "smh":
        return moment_s(text, _LONG_AGO)
    since = http_date(headers.get("date", "")) or now
    return moment_s(text, since or _FAR)


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_FAR = datetime.max.replace(tzinfo=UTC)  # a time then counts as past: unsaid
