"""Rows Q1 to Q11: habits of single providers."""

from __future__ import annotations

from dataclasses import replace

from .builders import drop, error, error_body, json_reply, ok_chat, sse
from .expect import ONCE, ONE_BY_ONE, RETRIED, STOPPED, STREAM, TOLD, Expect, Fault, refused_for_good
from .rows_limits import PAUSED, SOON, paused
from .steps import Pause, Step, as_parts, delayed, then
from .streams import STREAMS

DASHSCOPE = {"provider": "dashscope"}
DEEPSEEK = {"provider": "deepseek"}
SILICONFLOW = {"provider": "siliconflow"}
OPENROUTER = {"provider": "openrouter"}


def dashscope(status: int, code: str, message: str) -> Step:
    """An error as DashScope's compatible mode writes it."""
    return error(status, {"error": {"code": code, "message": message, "type": code}, "request_id": "r-1"})


def siliconflow(status: int, code: int, message: str) -> Step:
    """An error without an error object."""
    return json_reply({"code": code, "message": message, "data": None}, status)


def _dashscope() -> list[Fault]:
    wanted = error(400, error_body("'messages' must contain the word 'json' in some form", None, "invalid_request"))
    thinking = dashscope(
        400,
        "invalid_parameter_error",
        "parameter.enable_thinking must be set to false for non-streaming calls",
    )
    stopped = Expect("invalid_request", requests=(1, 3), exits=(77,), pending=True, flags=("stream",))
    throttled = {
        "rpm": ("limit_requests", "You exceeded your current request limit"),
        "tpm": ("insufficient_quota", "Allocated quota exceeded, please increase your quota limit."),
        "burst": ("limit_burst_rate", "Request rate increased too quickly."),
    }
    free = dashscope(403, "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted.")
    inspected = dashscope(400, "data_inspection_failed", "Input data may contain inappropriate content.")
    return [
        Fault(
            "Q1",
            "json_object without the word json",
            (),
            Expect("invalid_request", requests=(0, 1)),
            then=wanted,
            body={"response_format": {"type": "json_object"}},
        ),
        Fault(
            "Q2",
            "thinking needs streaming",
            (),
            stopped,
            then=thinking,
            items=30,
            needs={**DASHSCOPE, **ONE_BY_ONE},
        ),
        *(
            Fault("Q3", "throttled, whatever the word", (dashscope(429, *words),), TOLD, name, needs=DASHSCOPE)
            for name, words in throttled.items()
        ),
        refused_for_good("Q3", "", "the account is overdue", dashscope(400, "Arrearage", "Access denied, overdue")),
        refused_for_good("Q3", "free-tier", "the free tier is used up", free),
        Fault(
            "Q3",
            "the content is refused",
            (inspected,),
            Expect("content_filter", ("invalid_request",)),
            "inspection",
            needs=DASHSCOPE,
        ),
    ]


def _deepseek() -> list[Fault]:
    late = replace(ok_chat("Hello"), body=(b"\n\n", Pause(0.01), b"\n\n", *ok_chat("Hello").body), framing="chunked")
    blank = Step(body=as_parts(b"\n" * 12), framing="chunked")
    shed = then(Step(body=as_parts(b"\n" * 4), framing="close"), "fin")
    alive = STREAMS["deepseek"]
    spoken = Expect(content="Hello", reasoning=alive.reasoning, usage=(12, 3))
    return [
        Fault("Q4", "blank lines before the answer", (late,), Expect(content="Hello"), needs=DEEPSEEK),
        Fault("Q4", "nothing but blank lines", (blank,), RETRIED, "blank", needs=DEEPSEEK),
        Fault("Q4", "closed before inference began", (shed,), RETRIED, "shed", needs=DEEPSEEK),
        Fault(
            "Q4",
            "keep-alive comments in the stream",
            (alive.step(),),
            spoken,
            "stream",
            body=STREAM,
            needs=DEEPSEEK,
        ),
        Fault(
            "Q5",
            "JSON mode answers nothing",
            (ok_chat(""), ok_chat('{"a": 1}')),
            RETRIED,
            body={"response_format": {"type": "json_object"}, "system": "Answer in JSON."},
            needs={**DEEPSEEK, "json": True},
        ),
    ]


def _siliconflow() -> list[Fault]:
    hourly = siliconflow(429, 50602, "RPH limit reached. Request was rejected due to rate limiting.")
    return [
        Fault("Q6", "an hourly limit, without a header", (hourly,), TOLD, needs=SILICONFLOW),
        Fault(
            "Q6",
            "busy, without an error object",
            (siliconflow(503, 50505, "Model service overloaded."),),
            TOLD,
            "503",
            needs=SILICONFLOW,
        ),
        Fault(
            "Q6",
            "200 with data: null",
            (siliconflow(200, 50505, "System is too busy now."),),
            RETRIED,
            "200",
            needs=SILICONFLOW,
        ),
        Fault(
            "Q6",
            "200 with data: null and a fault of ours",
            (siliconflow(200, 20015, "The parameter is invalid."),),
            Expect("invalid_request", ("bad_response",), (1, 3)),
            "200-parameter",
            needs=SILICONFLOW,
        ),
    ]


def _local() -> list[Fault]:
    full = error(503, {"error": "server busy, please try again. maximum pending requests exceeded"})
    thinking = STREAMS["vllm-reasoning"]
    spoken = Expect(content="Hello", reasoning=thinking.reasoning)
    newer = ok_chat("Hello", message={"reasoning": "Greeting."})
    return [
        Fault("Q7", "the queue is full", (full, full, full), Expect(requests=(4, 4), free=True)),
        Fault("Q7", "the model is loaded first", (delayed(ok_chat(), 0.3),), ONCE, "loading"),
        Fault(
            "Q8",
            "an idle connection is closed",
            (then(ok_chat(), "fin"), drop()),
            Expect(requests=(3, 3)),
            items=2,
            needs=ONE_BY_ONE,
        ),
        Fault(
            "Q8",
            "thoughts under their newer name",
            (newer,),
            replace(spoken, reasoning="Greeting."),
            "reasoning",
        ),
        Fault("Q8", "the same streamed", (thinking.step(),), spoken, "stream", body=STREAM),
    ]


def _gateways() -> list[Fault]:
    policy = error_body(
        "The response was filtered due to the prompt triggering Azure's policy",
        "content_filter",
        innererror={"code": "ResponsibleAIPolicyViolation"},
    )
    negative = error(429, None, ("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "-1"))
    inner = json_reply(error_body("Provider returned error", 429, metadata={"provider_name": "Z"}))
    in_flight = error(402, error_body("in_flight_budget_exhausted", "in_flight_budget_exhausted"), SOON)
    spent = error(
        429,
        error_body("You have exceeded today's request limit", "429"),
        ("modelscope-ratelimit-requests-remaining", "0"),
    )
    failed = sse(["Hel", error_body("Provider disconnected", 502)], done=False)
    return [
        Fault("Q9", "the prompt is filtered", (error(400, policy),), Expect("content_filter", keep_raw=True)),
        Fault(
            "Q9",
            "an empty first chunk",
            (STREAMS["azure"].step(),),
            Expect(content="Hello"),
            "stream",
            body=STREAM,
        ),
        Fault("Q9", "limits of minus one are no limits", (negative,), TOLD, "minus-one"),
        Fault("Q10", "a provider's 429 within a 200", (inner,), TOLD, needs=OPENROUTER),
        Fault(
            "Q10",
            "402 only while others are in flight",
            (in_flight,),
            replace(TOLD, wait_s=0.05),
            "in-flight",
            needs=OPENROUTER,
        ),
        Fault("Q10", "fails within the stream", (failed,), RETRIED, "stream", body=STREAM, needs=OPENROUTER),
        Fault(
            "Q11",
            "no calls left today",
            (),
            PAUSED,
            then=spent,
            needs={"provider": "modelscope", "max_pause_s": 60},
        ),
        paused("Q11", "hours", "back in ten hours", error(429, None, ("Retry-After", "36000"))),
        refused_for_good(
            "Q11",
            "limit-0",
            "a model without any quota",
            error(429, error_body("Quota exceeded, limit: 0", "RESOURCE_EXHAUSTED")),
            replace(STOPPED, also=("rate_limited",), exits=(75, 77)),
        ),
    ]


PROVIDERS: tuple[Fault, ...] = (*_dashscope(), *_deepseek(), *_siliconflow(), *_local(), *_gateways())
