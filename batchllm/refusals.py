"""What a refusal means, as tables: how providers say no, and what follows from it. Read by `classify`.

Rule      one row: when its conditions hold, this is what the reply means
GENERAL   the rows for everybody, tried in order after a provider's own; the last one matches everything
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from batchllm.errors import ErrorCode
from batchllm.types import Kind


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: when all conditions that are given hold, this is what the reply means.

    `names` are codes or types in lower case, `words` a pattern searched in message and names, `headers` names
    that must be there, or `name=value`. `message` may use {status}, {name}, {words} and {host}. A pause for a
    daily cap ends at midnight in the zone `day_zone_h` when the server names no end; with `trust_wait` off,
    also if it names one, since that is known to be wrong.
    """

    kind: Kind
    code: ErrorCode
    statuses: Container[int] | None = None
    names: frozenset[str] = frozenset()
    words: re.Pattern[str] | None = None
    headers: tuple[str, ...] = ()
    message: str = "HTTP {status}{name}: {words}"
    slow_ramp: bool = False
    day_zone_h: int | None = None
    trust_wait: bool = True

    def matches(self, status: int, names: frozenset[str], text: str, headers: Mapping[str, str]) -> bool:
        return (
            (self.statuses is None or status in self.statuses)
            and (not self.names or not self.names.isdisjoint(names))
            and all(_has(headers, wanted) for wanted in self.headers)
            and (self.words is None or self.words.search(text) is not None)
        )


def _has(headers: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in headers and (not equals or headers[name].strip() == value)


def names(*values: str) -> frozenset[str]:
    """Codes and types as `Rule.names` compares them."""
    return frozenset(value.lower() for value in values)


def words(*patterns: str) -> re.Pattern[str]:
    """Any of these patterns, whatever their case."""
    return re.compile("|".join(patterns), re.IGNORECASE)


BILLING = names(
    # OpenAI's error page: these share the type `insufficient_quota`, the cause is in the code
    "credit_balance_exhausted", "organization_spend_limit_exceeded", "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded", "billing_hard_limit_reached", "billing_not_active",
    # Anthropic's error page: the spend cap comes as 429 without Retry-After
    "enforced_spend_limit_reached", "billing_error",
    # Model Studio's error page: overdue account; free quota only
    "Arrearage", "AllocationQuota.FreeTierOnly", "insufficient_balance", "insufficient_credits",
)  # fmt: skip
BURST = names("slow_down", "limit_burst_rate", "Throttling.BurstRate")  # OpenAI, DashScope: you grew too fast
NO_MONEY = words(
    r"insufficient (?:account )?(?:balance|credit|fund)", r"credit balance is too low", r"out of credits?\b",
    r"requires more credits", r"(?:balance|credits?) (?:is |are )?(?:insufficient|exhausted|not enough)",
    r"reached your specified (?:workspace )?api usage limits", r"account is (?:overdue|in arrears)",
    r"account is in good standing", "overdue balance", "余额不足", "欠费",
)  # fmt: skip
FREE_TIER = words(
    r"free[ -](?:tier|quota|trial|allocated quota)[^.]{0,60}(?:exhaust|exceed|used up|only|expired)",
    "免费额度",
)
PER_DAY = words(
    r"\b[RT]PD\b", r"per[ _-]?day", r"daily (?:request |token |usage |free )?(?:limit|quota|cap)",
    r"today.?s (?:quota|limit)", "每日", "每天", "当日", "今日",
)  # fmt: skip
TOO_LARGE = words(
    r"context[ _-]?(?:length|window|size)", r"too many (?:input |prompt )?tokens", "range of input length",
    r"(?:prompt|input|request|payload|entity|message|body)s? (?:is |are )?too (?:long|large)",
    r"reduce (?:the length of )?(?:your|the) (?:prompt|message|input)", "string_above_max_length",
    "request_too_large", r"longer than the (?:model|max)", "model token limit", "prompt 超长",
)  # fmt: skip
FILTERED = words(
    r"content[ _-]?(?:filter|policy|management|moderation)", r"data[ _]?inspection", "inappropriate content",
    "safety system", "requires moderation", r"(?:input|prompt|content|request)s?\W+(?:\w+ ){0,3}flagged",
    "usage polic", "responsibleaipolicy", "riskdetection", r"sensitive (?:content|information)",
    "敏感", "不安全", "违规",
)  # fmt: skip
NO_MODEL = words(
    r"model[ _]?not[ _]?(?:found|exist)", r"model .{0,120}(?:does not|doesn't|not) (?:exist|found)",
    "unknown model", "not a valid model", "模型不存在",
)  # fmt: skip
BAD_KEY = words(
    r"invalid[ _]?api[ _-]?key", r"api[ _]?key[ _](?:is )?(?:not valid|invalid|expired|not found)",
    "incorrect api key",
)  # fmt: skip
ZERO_LIMIT = words(r"\blimit: ?0(?!\.?[0-9])")
THROTTLED = words(r"rate[ _-]?limit", "too many requests", "throttl")
THINKING_STREAM = words(
    r"enable_thinking.{0,40}(?:non-?stream|false)", r"only supports? (?:the )?stream(?:ing)? mode",
    r"thinking.{0,60}(?:requires?|only).{0,20}stream",
)  # fmt: skip
THINKING_JSON = words(r"json mode.{0,60}thinking", r"thinking.{0,60}(?:json mode|response_format)")
JSON_WORD = words(r"must contain the word.{0,3}json")

_BAD_REQUEST = frozenset({400, 413, 414, 415, 422, 431})
_WHY = "(HTTP {status}{name}: {words})"
_BAD_KEY = f"the endpoint does not accept the key {_WHY}"
_E, _K = ErrorCode, Kind

GENERAL: tuple[Rule, ...] = (
    # account: no money (H6, H8); a 402 that names a wait is a budget in flight (OpenRouter's page on limits)
    Rule(_K.REFUSED, _E.RATE_LIMITED, {402}, headers=("retry-after",)),
    Rule(_K.REFUSED, _E.RATE_LIMITED, {402}, words=words("in_flight_budget")),
    Rule(_K.FINAL, _E.QUOTA_EXHAUSTED, {402}, words=words("weight_exceeds_budget")),
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, names=BILLING),
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, {400, 402, 403, 429}, words=NO_MONEY),
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, {403, 429}, words=FREE_TIER),
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, {402}),
    # account or rate? The same words mean an empty account at OpenAI and a full minute at DashScope (H7)
    Rule(_K.PROBE, _E.QUOTA_EXHAUSTED, {403, 429}, names("insufficient_quota")),
    Rule(_K.PROBE, _E.QUOTA_EXHAUSTED, {429}, words=words(r"exceeded your current quota(?!(?s:.)*retry in)")),
    # rate (H1, H5, H9)
    Rule(_K.FINAL, _E.TOO_LARGE, {429}, words=words("request too large")),
    Rule(_K.REFUSED, _E.RATE_LIMITED, names=BURST, slow_ramp=True),
    Rule(_K.PAUSE, _E.RATE_LIMITED, {429}, words=ZERO_LIMIT, day_zone_h=0, trust_wait=False),
    Rule(_K.PAUSE, _E.RATE_LIMITED, {429}, words=PER_DAY, day_zone_h=0),
    *(
        Rule(_K.PAUSE, _E.RATE_LIMITED, {429}, headers=(f"x-ratelimit-remaining-{what}=0",), day_zone_h=0)
        for what in ("tokens-per-day", "requests-per-day", "tokens-day", "requests-day")
    ),
    Rule(_K.REFUSED, _E.RATE_LIMITED, {429}),
    # the request itself (H35); a filtered prompt is one line's matter, also under 403 (OpenRouter, gateways)
    Rule(_K.FINAL, _E.CONTENT_FILTER, names=names("content_filter", "content_policy_violation")),
    Rule(_K.FINAL, _E.CONTENT_FILTER, {400, 403, 422, 451}, words=FILTERED),
    Rule(
        _K.STOP, _E.INVALID_REQUEST, {400, 422}, words=THINKING_JSON,
        message="this model gives no JSON mode while it thinks: set `enable_thinking = false`, or ask for "
        "JSON in the prompt ({words})",
    ),
    Rule(
        _K.STOP, _E.INVALID_REQUEST, {400, 422}, words=THINKING_STREAM,
        message="this model thinks only while it streams: add `stream = true` or `enable_thinking = false` "
        "({words})",
    ),
    Rule(
        _K.FINAL, _E.INVALID_REQUEST, {400, 422}, words=JSON_WORD,
        message='the `json_object` format needs the word "json" somewhere in the messages ({words})',
    ),
    # account: who is asking (H36)
    Rule(_K.STOP, _E.AUTHENTICATION, {400}, words=BAD_KEY, message=_BAD_KEY),
    Rule(_K.STOP, _E.AUTHENTICATION, {401}, message=_BAD_KEY),
    Rule(_K.REFUSED, _E.RATE_LIMITED, {403}, words=THROTTLED),
    Rule(_K.STOP, _E.AUTHENTICATION, {403}, message=f"the endpoint denies access {_WHY}"),
    Rule(_K.STOP, _E.CONNECTION, {407}, message=f"the proxy in between wants a login {_WHY}"),
    # the request itself, continued; a 404 before any success is the run's matter, as the engine knows (H37)
    Rule(_K.FINAL, _E.NOT_FOUND, {404, 410}),
    Rule(_K.FINAL, _E.NOT_FOUND, _BAD_REQUEST, words=NO_MODEL),
    Rule(_K.FINAL, _E.TOO_LARGE, {413, 414, 431}),
    Rule(_K.FINAL, _E.TOO_LARGE, _BAD_REQUEST, words=TOO_LARGE),
    # the server (H10 to H12): any status from 500 on by rule, not by list
    Rule(_K.MAYBE_PAID, _E.TIMEOUT, {408, 504, 524}),
    Rule(_K.REFUSED, _E.SERVER_ERROR, {409, 425, 503, 529}),
    Rule(
        _K.REFUSED, _E.SERVER_ERROR,
        names=names("overloaded_error", "server_is_overloaded", "engine_overloaded_error"),
    ),
    Rule(_K.MAYBE_PAID, _E.SERVER_ERROR, range(500, 1000)),
    # the address (H24)
    Rule(
        _K.STOP, _E.CONNECTION, range(300, 400),
        message="the endpoint redirects (HTTP {status}) to {host}; redirects are never followed, since key "
        "and prompts would go along: set `base_url` to the address that is meant",
    ),
    Rule(_K.FINAL, _E.INVALID_REQUEST, range(400, 500)),
    Rule(_K.MAYBE_PAID, _E.BAD_RESPONSE),
)  # fmt: skip

STATUS_OF: dict[str, int] = {
    # what a code or type stands for where a 2xx has an error without a number (OpenAI, Anthropic, Google)
    **dict.fromkeys(("invalid_request_error", "invalid_argument", "context_length_exceeded"), 400),
    **dict.fromkeys(("authentication_error", "unauthenticated", "invalid_api_key"), 401),
    **dict.fromkeys(("permission_error", "permission_denied"), 403),
    **dict.fromkeys(("not_found_error", "not_found", "model_not_found"), 404),
    **dict.fromkeys(("rate_limit_error", "rate_limit_exceeded", "resource_exhausted"), 429),
    **dict.fromkeys(("insufficient_quota", "too_many_requests"), 429),
    **dict.fromkeys(("timeout_error", "timeout", "deadline_exceeded"), 504),
    **dict.fromkeys(("unavailable", "service_unavailable"), 503),
    **{"overloaded_error": 529, "payment_required": 402, "request_too_large": 413},
}
