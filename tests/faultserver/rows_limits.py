"""Rows H1 to H13: being told to wait, being refused, and failing statuses."""

from __future__ import annotations

from dataclasses import replace

from .builders import error, error_body
from .expect import ONE_BY_ONE, RETRIED, STOPPED, TOLD, Expect, Fault, refused_for_good, variants
from .steps import Step, delayed

DATE = ("Date", "{date}")
SOON = ("retry-after-ms", "50")
PAUSED = Expect("rate_limited", exits=(75,), pending=True, flags=("resume at",))
LIMITED = error_body("Rate limit reached for requests", "rate_limit_exceeded", "requests")


def limited(*headers: tuple[str, str], message: str | None = None) -> Step:
    """429, asked too often."""
    return error(429, LIMITED if message is None else error_body(message, "rate_limit_exceeded"), *headers)


def quota(code: str, message: str = "You exceeded your current quota, please check your plan.") -> Step:
    """429 with OpenAI's type for an empty account."""
    return error(429, error_body(message, code, "insufficient_quota"))


def told(id_: str, variant: str, about: str, reply: Step, wait_s: float, within_s: float = 30.0) -> Fault:
    """A wait that is honoured, then a good answer."""
    return Fault(id_, about, (reply,), replace(TOLD, wait_s=wait_s, within_s=within_s), variant)


def paused(id_: str, variant: str, about: str, reply: Step) -> Fault:
    """A wait longer than this run may wait."""
    return Fault(id_, about, (), PAUSED, variant, reply, needs={"max_pause_s": 60})


def _waits() -> list[Fault]:
    skewed = (("Date", "{date-3600}"), ("Retry-After", "{date-3598}"))
    ahead = (("Date", "{date+3600}"), ("Retry-After", "{date+3602}"))
    both = (("Retry-After", "9"), SOON)
    resets = (("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-reset-tokens", "120ms"))
    again = "Rate limit reached. Please try again in 1.2s."
    return [
        told("H1", "", "429 with Retry-After in seconds", limited(("Retry-After", "1")), 1.0),
        told("H2", "", "Retry-After as an HTTP-date", limited(DATE, ("Retry-After", "{date+2}")), 1.9),
        told("H2", "late-clock", "HTTP-date of a server an hour behind", limited(*skewed), 1.9),
        told("H2", "early-clock", "HTTP-date of a server an hour ahead", limited(*ahead), 1.9),
        told("H2", "no-date", "HTTP-date without a Date beside it", limited(("Retry-After", "{date+2}")), 1.0),
        told("H3", "", "retry-after-ms", limited(SOON), 0.05, 5.0),
        told("H3", "ms-wins", "retry-after-ms stands before Retry-After", limited(*both), 0.05, 8.0),
        told("H3", "reset", "reset headers alone: the longest holds", limited(*resets), 1.0),
        told("H3", "epoch", "a reset as epoch seconds", limited(("x-ratelimit-reset", "{epoch+2}")), 1.0),
        told("H3", "body", "the wait stands in the message", limited(message=again), 1.2),
        told("H5", "", "429 without any hint", limited(), 0.0, 90.0),
    ]


def _absurd_waits() -> list[Fault]:
    ignored = {
        "negative": "-5",
        "zero": "0",
        "nan": "nan",
        "inf": "inf",
        "exponent": "1e20",
        "full-width": "\uff13",
        "year-999999": "Fri, 31 Dec 999999 23:59:59 GMT",
        "text": "soon",
        "empty": "",
    }
    tiring = {"hours": "10800", "21-digits": "1" + "0" * 20, "year-9999": "Fri, 31 Dec 9999 23:59:59 GMT"}
    nonsense = "an absurd Retry-After is no wait and no hang"
    too_long = "a wait beyond max_pause ends the run with the time to come back"
    return [
        *(told("H4", name, nonsense, limited(("Retry-After", text)), 0.0) for name, text in ignored.items()),
        *(paused("H4", name, too_long, limited(("Retry-After", text))) for name, text in tiring.items()),
    ]


def _no_money() -> list[Fault]:
    codes = (
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
    )
    spend = {
        "type": "error",
        "error": {
            "type": "rate_limit_error",
            "message": "Spend limit reached.",
            "details": {"error_code": "enforced_spend_limit_reached"},
        },
    }
    tokens = quota("insufficient_quota", "Allocated quota exceeded, please increase your quota limit.")
    probed = Expect(requests=(2, 2), free=True, wait_s=60.0, within_s=120.0, slow=True)
    broke = replace(STOPPED, requests=(2, 4), wait_s=60.0, within_s=120.0, slow=True)
    dashscope = {"provider": "dashscope"}
    credit = error_body("Insufficient credits", 402)
    return [
        *(refused_for_good("H6", code, "429 with a billing code", quota(code)) for code in codes),
        refused_for_good("H6", "spend-cap", "Anthropic's spend cap, a 429 without Retry-After", error(429, spend)),
        Fault("H7", "insufficient_quota that is only tokens per minute", (tokens,), TOLD, needs=dashscope),
        Fault("H7", "the same of a server nobody knows: asked again", (tokens,), probed, "probe"),
        Fault("H7", "the same until the probes are used up", (), broke, "probe-refused", tokens),
        refused_for_good("H8", "", "402, out of credit", error(402, credit)),
        told("H8", "retry-after", "402 with Retry-After", error(402, credit, ("Retry-After", "1")), 1.0),
    ]


def _statuses() -> list[Fault]:
    slow_down = error(429, error_body("Slow down", "slow_down", "rate_limit_error"), SOON)
    busy = error(503, error_body("The engine is overloaded", "server_is_overloaded", "server_error"))
    pending = error(503, {"error": "server busy, please try again. maximum pending requests exceeded"})
    lost = Expect("server_error", requests=(6, 7))
    gateway = delayed(error(524, b"error code: 524"), 100.0)
    stuck = Expect("timeout", ("server_error",), (6, 7), flags=("stream",), slow=True)
    return [
        *variants("H9", "growing too fast", {"": slow_down, "overloaded": busy}, TOLD),
        Fault("H10", "408, the server waited too long", (error(408),), RETRIED),
        Fault("H10", "409, a lock", (error(409),), TOLD, "409"),
        *variants("H11", "status", {str(code): error(code) for code in (500, 502, 504)}, RETRIED),
        Fault("H11", "503 is no attempt", (error(503),), TOLD, "503"),
        Fault("H11", "Ollama's full queue", (pending,), TOLD, "ollama-queue"),
        Fault(
            "H11",
            "one item always breaks the server",
            (error(500),) * 20,
            lost,
            "poison",
            one_item=True,
            items=5,
            needs={**ONE_BY_ONE, "max_attempts": 3},
        ),
        *variants("H12", "status", {str(code): error(code) for code in (*range(520, 525), 599)}, RETRIED),
        Fault("H12", "529, overloaded", (error(529),), TOLD, "529"),
        Fault(
            "H13",
            "a gateway gives up after the same time again",
            (gateway,) * 20,
            stuck,
            one_item=True,
            items=5,
            needs={**ONE_BY_ONE, "max_attempts": 8},
        ),
    ]


LIMITS: tuple[Fault, ...] = (*_waits(), *_absurd_waits(), *_no_money(), *_statuses())
