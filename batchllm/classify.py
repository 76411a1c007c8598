"""What one attempt came to: status, headers and body in, a `Verdict` out; pure, and decided by tables.

    classify          a reply: the provider's own rules, then `refusals.GENERAL`; the first that matches decides
    classify_failure  no complete reply: by how far the request came

A 2xx is an error too if it says so in its body and carries no answer: OpenRouter's status is 200 from the
first token on, so the code in the body counts as if it were the status (H14).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from batchllm.error_body import MESSAGE_CHARS, READ_CHARS, ErrorInfo, choice_error, clean, error_in
from batchllm.errors import ErrorCode, Phase, TransportError
from batchllm.refusals import GENERAL, STATUS_OF, Rule
from batchllm.retry_after import server_wait
from batchllm.types import Kind, Reply, Verdict

PAUSE_S = 3600.0
"""A wait beyond this is a pause: no hourly window needs longer (SiliconFlow's RPH), so it is a daily one."""

_DAY_S = 86_400


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
        sound = isinstance(choices, list) and choice_error(choices) is None
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
    return info.status or next((STATUS_OF[name] for name in sorted(info.names) if name in STATUS_OF), 500)


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
        words=clean(info.message, MESSAGE_CHARS - 150) or "no reason given",
        host=_target(reply.headers.get("location", "")),
    )[:MESSAGE_CHARS]


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
    text = reply.body[:READ_CHARS].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not text.startswith("<"):
        return text
    title = _TITLE.search(text)
    return f"a web page ({title[1].strip()})" if title else "a web page"


_E, _K = ErrorCode, Kind

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


def classify_failure(error: TransportError, rules: Sequence[Rule] = (), *, now: datetime | None = None) -> Verdict:
    """What a request without a complete reply came to. One whose status already said no is judged by that."""
    if error.status >= 300:
        reply = Reply(error.status, error.headers, error.partial, error.elapsed_s)
        now = now or datetime.max.replace(tzinfo=UTC)  # without a clock, waits that name a date count as past
        return _decide(reply, ErrorInfo(message=_text(reply)), None, rules, now)
    kind, code = _FAILURES[error.phase]
    text = clean(str(error), MESSAGE_CHARS - 50) or f"no complete reply ({error.phase.value})"
    return Verdict(kind, code, f"the reply passed the size cap: {text}" if code is _E.BAD_RESPONSE else text)
