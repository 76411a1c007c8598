"""What one attempt came to: status, headers and body in, a `Verdict` out; pure, and decided by tables.

    classify          a reply: the provider's own rules, then `GENERAL`; the first rule that matches decides
    classify_failure  no complete reply: by how far the request came
    error_in          the error object of a body, in every shape seen (H14, Q6)
    clean             somebody else's words made fit for a record: no control characters, no keys, capped

A 2xx is an error too if it says so in its body and carries no answer: OpenRouter's status is 200 from the
first token on, so the code in the body counts as if it were the status (H14).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from batchllm.errors import ErrorCode, Phase, TransportError
from batchllm.retry_after import server_wait
from batchllm.types import Kind, Reply, Verdict

PAUSE_S = 3600.0
"""A wait beyond this is a pause: no hourly window needs longer (SiliconFlow's RPH), so it is a daily one."""

_MESSAGE_CHARS = 500
_READ_CHARS = 4000
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error object as the server put it; `names` are all codes, types and reasons in it, in lower case."""

    code: str = ""
    type: str = ""
    message: str = ""
    status: int | None = None
    names: frozenset[str] = frozenset()


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

_STATUS_OF: dict[str, int] = {
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


def classify(reply: Reply, body: Any, rules: Sequence[Rule] = (), *, now: datetime) -> Verdict | None:
    """What a reply came to, None where it is a plain answer; `body` is the parsed body, None if no JSON."""
    ok = 200 <= reply.status < 300
    if ok and _plain(body):
        return None
    info = error_in(body)
    if ok and info is None:
        return Verdict(Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE, _no_json(reply)) if body is None else None
    verdict = _decide(reply, info or ErrorInfo(message=_text(reply)), body, rules, now)
    if verdict.kind is Kind.REFUSED and _begun(body):  # broken off on the way: tokens were made
        return replace(verdict, kind=Kind.MAYBE_PAID)
    return verdict


def _plain(body: Any) -> bool:
    """Whether a 2xx body is an answer, or foreign in a way only its endpoint can judge; runs on every one."""
    if not isinstance(body, dict):
        return body is not None and not isinstance(body, list)
    error = body.get("error")
    if choices := body.get("choices"):
        sound = isinstance(choices, list) and _choice_error(choices) is None
        return sound and (not error or all(_finished(choice) for choice in choices))
    if body.get("output"):
        return body.get("status") != "failed"
    return not error and bool(body.get("data") or body.get("results")) and body.get("object") != "error"


def _finished(choice: Any) -> bool:
    return isinstance(choice, dict) and bool(choice.get("finish_reason"))


def _begun(body: Any) -> bool:
    return isinstance(body, dict) and bool(body.get("choices") or body.get("output"))


def _decide(reply: Reply, info: ErrorInfo, body: Any, rules: Sequence[Rule], now: datetime) -> Verdict:
    status = _status(reply, info)
    text = "\n".join((info.message, *sorted(info.names)))
    headers = reply.headers
    rule = next(rule for rule in (*rules, *GENERAL) if rule.matches(status, info.names, text, headers))
    kind = _overruled(rule, headers.get("x-should-retry", ""))
    refused = kind in (Kind.REFUSED, Kind.PROBE, Kind.PAUSE)
    after_s = server_wait(headers, info.message if body is None else body, now, refused=refused)
    kind, after_s = _paused(kind, after_s, rule, now)
    slow = rule.slow_ramp and kind is Kind.REFUSED
    after_s = None if kind is Kind.FINAL else after_s
    return Verdict(kind, rule.code, _message(rule, reply, info, status), after_s, slow)


def _status(reply: Reply, info: ErrorInfo) -> int:
    """The status that counts: on a 2xx the one its body means, and 500 where it means none."""
    if not 200 <= reply.status < 300:
        return reply.status
    return info.status or next((_STATUS_OF[name] for name in sorted(info.names) if name in _STATUS_OF), 500)


def _overruled(rule: Rule, should_retry: str) -> Kind:
    """`x-should-retry` overrules the table, as in openai-python, but for rate limits and the account."""
    if should_retry == "true" and rule.kind is Kind.FINAL:
        return Kind.MAYBE_PAID
    passing = rule.kind in (Kind.MAYBE_PAID, Kind.REFUSED) and rule.code is not ErrorCode.RATE_LIMITED
    return Kind.FINAL if should_retry == "false" and passing else rule.kind


def _paused(kind: Kind, after_s: float | None, rule: Rule, now: datetime) -> tuple[Kind, float | None]:
    """A long wait is a pause; a daily cap that ends within the hour is a wait (Groq's day rolls)."""
    if kind is Kind.REFUSED and (after_s or 0.0) > PAUSE_S:
        return Kind.PAUSE, after_s
    if kind is not Kind.PAUSE:
        return kind, after_s
    if after_s is not None and rule.trust_wait:
        return (Kind.PAUSE if after_s > PAUSE_S else Kind.REFUSED), after_s
    return Kind.PAUSE, None if rule.day_zone_h is None else _to_midnight(now, rule.day_zone_h)


def _to_midnight(now: datetime, zone_h: int) -> float:
    clock = now.astimezone(UTC)
    return float(_DAY_S - (clock.hour * 3600 + clock.minute * 60 + clock.second + zone_h * 3600) % _DAY_S)


def _message(rule: Rule, reply: Reply, info: ErrorInfo, status: int) -> str:
    name = next((word for word in (info.code, info.type) if word and not word.isdigit()), info.code)
    return rule.message.format(
        status=status if status == reply.status else f"{reply.status} with an error of kind {status}",
        name=f" {clean(name, 80)}" if name and name != str(status) else "",
        words=clean(info.message, _MESSAGE_CHARS - 150) or "no reason given",
        host=_target(reply.headers.get("location", "")),
    )[:_MESSAGE_CHARS]


def _target(location: str) -> str:
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    if host:
        return clean(host, 100)
    return "another address on the same host" if location else "no address at all"


def _no_json(reply: Reply) -> str:
    text = clean(_text(reply), 200)
    return f"HTTP {reply.status} without JSON: {text}" if text else f"HTTP {reply.status} with an empty body"


_TITLE = re.compile(r"<title[^>]{0,100}>([^<]{1,200})", re.IGNORECASE)


def _text(reply: Reply) -> str:
    """What a body that is no JSON says: of a web page its title, of anything else its beginning."""
    text = reply.body[:_READ_CHARS].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not text.startswith("<"):
        return text
    title = _TITLE.search(text)
    return f"a web page ({title[1].strip()})" if title else "a web page"


_FAILURES: dict[Phase, tuple[Kind, ErrorCode]] = {
    Phase.LOCAL: (_K.LOCAL, _E.CONNECTION),
    Phase.DNS: (_K.UNREACHABLE, _E.CONNECTION),
    Phase.CONNECT: (_K.UNREACHABLE, _E.CONNECTION),
    Phase.TLS: (_K.UNREACHABLE, _E.CONNECTION),
    Phase.CERTIFICATE: (_K.STOP, _E.CONNECTION),
    Phase.SEND: (_K.MAYBE_PAID, _E.CONNECTION),
    Phase.FIRST_BYTE: (_K.MAYBE_PAID, _E.TIMEOUT),
    Phase.SILENCE: (_K.MAYBE_PAID, _E.TIMEOUT),
    Phase.TOTAL: (_K.MAYBE_PAID, _E.TIMEOUT),
    Phase.READ: (_K.MAYBE_PAID, _E.CONNECTION),
    Phase.TOO_LARGE: (_K.FINAL, _E.BAD_RESPONSE),
}


def classify_failure(
    error: TransportError, rules: Sequence[Rule] = (), *, now: datetime | None = None
) -> Verdict:
    """What a request without a complete reply came to. One whose status already said no is judged by that."""
    if error.status >= 300:
        reply = Reply(error.status, error.headers, error.partial, error.elapsed_s)
        now = now or datetime.max.replace(tzinfo=UTC)  # without a clock, waits that name a date count as past
        return _decide(reply, ErrorInfo(message=_text(reply)), None, rules, now)
    kind, code = _FAILURES[error.phase]
    text = clean(str(error), _MESSAGE_CHARS - 50) or f"no complete reply ({error.phase.value})"
    return Verdict(kind, code, f"the reply passed the size cap: {text}" if code is _E.BAD_RESPONSE else text)


_MESSAGE_KEYS = ("message", "msg", "error_message", "error_msg", "errorMessage", "detail", "description")
_NAME_KEYS = ("code", "type", "status", "error_code", "error_type", "reason", "quotaId")
_INNER_KEYS = ("innererror", "inner_error", "details", "metadata", "violations", "error")
_FINE = ("", "0", "200", "ok", "success")


def error_in(body: Any) -> ErrorInfo | None:
    """The error object of a parsed body, whatever its shape; None if there is none."""
    if isinstance(body, list):  # Gemini's compatible endpoint wraps its error in an array
        body = body[0] if body else None
    if not isinstance(body, dict):
        return None
    for key in ("error", "errors", "detail"):
        if found := _first(body.get(key)):
            return _info(found, body)
    if error := _choice_error(body.get("choices")):
        return _info(error, {})
    coded = _word(body.get("code", body.get("error_code"))).lower() not in _FINE
    if "error" in (body.get("object"), body.get("type")) or (_said(body) and (coded or "code" not in body)):
        return _info(body, {})
    return None


def _first(value: Any) -> dict[str, Any] | str | None:
    """The error itself: the first of a list, the inner one where an error is wrapped once more."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    return value if value and isinstance(value, dict | str) else None


def _choice_error(choices: Any) -> dict[str, Any] | None:
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("error"), dict):
            return choice["error"]  # type: ignore[no-any-return]
        if isinstance(choice, dict) and choice.get("finish_reason") == "error":
            return {"message": "the answer broke off (finish_reason `error`)"}
    return None


def _info(error: dict[str, Any] | str, outer: dict[str, Any]) -> ErrorInfo:
    inner = {"message": error} if isinstance(error, str) else error
    code = _word(inner.get("code")) or _word(outer.get("code"))
    kind = _word(inner.get("type")) or _word(inner.get("status")) or _word(outer.get("error_type"))
    every = (*_names_in(inner, 0), *_names_in({key: outer.get(key) for key in _NAME_KEYS}, 0))
    found = frozenset(name.lower() for name in every if name)
    return ErrorInfo(code, kind, _said(inner), _status_in(inner) or _status_in(outer), found)


def _said(error: dict[str, Any]) -> str:
    found = next((said for key in _MESSAGE_KEYS if (said := _first(error.get(key)))), "")
    said = (_said(found) if isinstance(found, dict) else found)[:_READ_CHARS]  # Mistral: one in `message`
    where = error.get("loc")  # FastAPI: where in the request the fault is
    if said and isinstance(where, list):
        said = f"{'.'.join(map(str, where))}: {said}"
    metadata = error.get("metadata")  # OpenRouter: the upstream's own words
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{said}: {raw[:_READ_CHARS]}" if isinstance(raw, str) and raw else said


def _names_in(value: Any, depth: int) -> Iterator[str]:
    if depth > 5:
        return
    if isinstance(value, list):
        for item in value[:8]:
            yield from _names_in(item, depth + 1)
    elif isinstance(value, dict):
        yield from (_word(value.get(key)) for key in _NAME_KEYS)
        for key in _INNER_KEYS:
            yield from _names_in(value.get(key), depth + 1)


def _status_in(error: dict[str, Any]) -> int | None:
    for key in ("code", "status", "status_code", "http_status"):
        word = _word(error.get(key))
        if len(word) == 3 and word.isascii() and word.isdigit() and word[0] in "345":
            return int(word)
    return None


def _word(value: Any) -> str:
    return str(value)[:200] if isinstance(value, str | int) and not isinstance(value, bool) else ""


_SECRETS = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ms|r8|nvapi|tgp|fw|ak)[-_][A-Za-z0-9_*.\-]{6,}"  # prefixed, or half masked
    r"|\bAIza[A-Za-z0-9_\-]{10,}|\beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)*"  # Google, JSON web tokens
    r"|\b[0-9a-f]{32}\.[A-Za-z0-9]{8,}"  # Zhipu
    r"|(?<=bearer )\s*[^\s\"',;]+|(?<=basic )[A-Za-z0-9+/=]{8,}"
    r"|(?<=//)[^\s/@]{1,200}(?=@)"  # a login in an address
    r"|((?:key|token|secret|password)\b[^:=\n]{0,20}[:=](?!//)\s?[\"'`]?)[^\s\"'`,;.)]{6,}",
    re.IGNORECASE,
)


def clean(text: str, limit: int = _MESSAGE_CHARS) -> str:
    """Somebody else's words on one line: no control characters, nothing like a key, capped."""
    printable = "".join(char if char.isprintable() else " " for char in text[:_READ_CHARS])
    hidden = _SECRETS.sub(lambda found: (found[1] or "") + "[hidden]", " ".join(printable.split()))
    return hidden if len(hidden) <= limit else hidden[: limit - 1] + "…"
