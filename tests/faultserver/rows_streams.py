"""Rows H27 to H37: streams that break or are odd, and refusals for good."""

from __future__ import annotations

from dataclasses import replace

from .builders import dumps, error, error_body, sse
from .expect import ONE_BY_ONE, RETRIED, STOPPED, STREAM, Expect, Fault, refused_for_good, variants
from .script import echo
from .steps import cut
from .streams import STREAMS

DENIED = replace(STOPPED, outcome="authentication")
AT_FAULT = Expect("invalid_request")


def _streams() -> list[Fault]:
    openai = STREAMS["openai"]
    whole = Expect(content="Hello")
    broken = error_body("Upstream failed", 502)
    typed = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    named = b"event: error\ndata: " + dumps(broken) + b"\n\n"
    unfinished = sse(["Hel", "lo"], finish_reason=None)
    shapes = {
        "": sse(["Hel", broken], done=False),
        "typed": sse(["Hel", typed], done=False),
        "named": sse(["Hel", named], done=False),
        "first": sse([broken]),
    }
    return [
        Fault(
            "H27",
            "cut within the text",
            (cut(openai.step(), openai.cut_until, of="body"),),
            RETRIED,
            body=STREAM,
        ),
        Fault(
            "H27",
            "closed within the text, and nothing says so",
            (cut(openai.step("close"), openai.cut_until - 20, of="body"),),
            RETRIED,
            "close",
            body=STREAM,
        ),
        Fault(
            "H27",
            "finished, but without [DONE]",
            (cut(openai.step("close"), openai.complete_from, of="body"),),
            whole,
            "no-done",
            body=STREAM,
        ),
        Fault("H27", "[DONE] without a finish_reason", (unfinished,), whole, "no-finish", body=STREAM),
        Fault(
            "H27",
            "ends properly, unfinished",
            (sse(["Hel"], finish_reason=None, done=False),),
            RETRIED,
            "short",
            body=STREAM,
        ),
        *(replace(fault, body=STREAM) for fault in variants("H28", "an error within the stream", shapes, RETRIED)),
        Fault("H29", "comments and blank frames", (STREAMS["openrouter"].step(),), whole, body=STREAM),
        Fault("H29", "fields nobody knows", (STREAMS["odd-fields"].step(),), whole, "fields", body=STREAM),
        Fault("H30", "chunks with empty choices", (STREAMS["azure"].step(),), whole, body=STREAM),
        Fault(
            "H31",
            "no usage in the stream",
            (sse(["Hel", "lo"]),),
            replace(whole, flags=("usage unknown",)),
            body=STREAM,
        ),
    ]


def _permanent() -> list[Fault]:
    long = error(400, error_body("This model's maximum context length is 8192", "context_length_exceeded"))
    key = error(401, error_body("Incorrect API key provided", "invalid_api_key", "invalid_request_error"))
    country = error(403, error_body("Country, region, or territory not supported", "unsupported_country"))
    model = error(404, error_body("The model `nope` does not exist", "model_not_found"))
    revoked = Expect("ok", requests=(3, 5), exits=(77,))
    gone = Expect("not_found", requests=(1, 3), exits=(77,))
    too_large = Expect("too_large", ("invalid_request",))
    return [
        *variants("H35", "status", {str(code): error(code) for code in (413, 414, 431)}, Expect("too_large")),
        Fault("H35", "more than the context holds", (long,), too_large, "context"),
        *variants("H35", "a request's own fault", {str(code): error(code) for code in (400, 422)}, AT_FAULT),
        refused_for_good("H36", "", "401, a wrong key", key, DENIED),
        refused_for_good("H36", "403", "403, not from here", country, DENIED),
        Fault(
            "H36",
            "the key is revoked in mid-run",
            (echo, echo),
            revoked,
            "mid-run",
            key,
            items=8,
            needs=ONE_BY_ONE,
        ),
        refused_for_good("H37", "", "no such model, before any success", model, gone),
        Fault(
            "H37",
            "no such model for one item",
            (model,),
            Expect("not_found", requests=(5, 5)),
            "one-item",
            one_item=True,
            items=5,
            needs=ONE_BY_ONE,
        ),
    ]


STREAMED: tuple[Fault, ...] = (*_streams(), *_permanent())
