"""Rows P1 to P19: whole replies whose content is odd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .builders import OMIT, USAGE, chat_body, chunk, dumps, error, error_body, json_reply, ok_chat, sse
from .expect import ONCE, RETRIED, STREAM, Expect, Fault, variants
from .steps import JSON_TYPE, Step
from .streams import STREAMS

EMPTY = Expect("bad_response", requests=(1, 2), keep_raw=True)
JSON = {"json": True}
CUT = Expect("truncated", keep_raw=True)
SURVIVED = Expect("ok", ("bad_response",), (1, 2))


def written(raw: bytes) -> Step:
    """A reply whose JSON no encoder of ours would write."""
    return Step(headers=JSON_TYPE, body=(raw,))


def within(marker_body: Mapping[str, Any], raw: bytes) -> Step:
    """A reply in which the text "@" is replaced by bytes as they are."""
    return written(dumps(dict(marker_body)).replace(b'"@"', raw))


def _choices() -> list[Fault]:
    shapes = {
        "": None,
        "empty": [],
        "missing": OMIT,
        "text": "no",
        "null-choice": [None],
        "no-message": [{"index": 0}],
    }
    replies = {name: ok_chat(choices=choices) for name, choices in shapes.items()}
    nothing, blank = ok_chat(None), ok_chat("")
    return [
        *variants("P1", "choices", replies, RETRIED),
        Fault("P1", "never any choices", (), EMPTY, "for-ever", ok_chat(choices=[]), needs={"max_attempts": 2}),
        *variants("P2", "no content", {"": nothing, "blank": blank, "missing": ok_chat(OMIT)}, RETRIED),
        Fault("P2", "never any content", (), EMPTY, "for-ever", nothing, needs={"max_attempts": 2}),
        Fault("P2", "null, not an object", (json_reply(None),), RETRIED, "null-reply"),
    ]


def _endings() -> list[Fault]:
    refused = ok_chat("", message={"refusal": "I can't help with that."})
    prompt = error(400, error_body("The response was filtered", "content_filter"))
    thought = ok_chat("", finish_reason="length", message={"reasoning_content": "Let me see. " * 20})
    aside = ok_chat("", message={"reasoning_content": "The answer is 4."})
    filtered = Expect("content_filter", keep_raw=True)
    both = Expect("bad_response", ("ok",), (1, 2), keep_raw=True, reasoning="The answer is 4.")
    split = Expect(content="Four.", reasoning="Two and two.")
    unclosed = Expect("truncated", ("bad_response",), (1, 2), keep_raw=True)
    cut_json = ok_chat('{"city": "K', finish_reason="length")
    return [
        Fault("P3", "a refusal beside empty content", (refused,), Expect("refusal", keep_raw=True)),
        Fault("P4", "filtered, so empty", (ok_chat("", finish_reason="content_filter"),), filtered),
        Fault("P4", "the prompt is filtered", (prompt,), filtered, "prompt"),
        Fault("P5", "cut at max_tokens", (cut_json,), CUT, needs=JSON),
        Fault("P6", "all tokens went into thinking", (thought,), replace(CUT, flags=("Thinking",))),
        Fault("P7", "the answer stands among the thoughts", (), both, then=aside, needs={"max_attempts": 2}),
        Fault("P8", "thoughts within the content", (ok_chat("<think>\nTwo and two.\n</think>\n\nFour."),), split),
        Fault(
            "P8",
            "thoughts that never end",
            (),
            unclosed,
            "unclosed",
            ok_chat("<think>Two and"),
            needs={"max_attempts": 2},
        ),
    ]


def _tools_and_json() -> list[Fault]:
    call: dict[str, Any] = {"id": "call_1", "type": "function"}
    calls = {"": '{"x": 1}', "bad": '{"x": 1\x01', "empty": ""}
    tools = {
        name: ok_chat(
            None,
            finish_reason="tool_calls",
            message={"tool_calls": [{**call, "function": {"name": "f", "arguments": arguments}}]},
        )
        for name, arguments in calls.items()
    }
    texts = {
        "": '```json\n{"a": 1}\n```',
        "inner-fence": '{"a": "```x```"}',
        "trailing": '{"a": 1}\nHope that helps!',
        "leading": 'Here it is:\n{"a": 1}',
    }
    two = ok_chat('{"a": 1}\n{"a": 2}')
    strict = Expect("schema_invalid", ("ok",), (1, 3))
    return [
        *variants("P9", "tool calls, kept as they are", tools, ONCE),
        *(
            replace(fault, needs=JSON)
            for fault in variants("P10", "JSON in wrapping", {name: ok_chat(text) for name, text in texts.items()}, ONCE)
        ),
        Fault("P10", "two objects", (), strict, "two", two, needs={**JSON, "max_attempts": 2}),
        Fault("P11", "a key twice", (ok_chat('{"a": 1, "a": 2}'),), Expect(flags=("duplicate",)), needs=JSON),
        Fault(
            "P12",
            "NaN within the content",
            (),
            strict,
            "",
            ok_chat('{"a": NaN}'),
            needs={**JSON, "max_attempts": 2},
        ),
        *variants(
            "P12",
            "no JSON number in the reply",
            {
                name: within(chat_body("x", score="@"), raw)
                for name, raw in {"nan": b"NaN", "infinity": b"-Infinity", "1e400": b"1e400"}.items()
            },
            SURVIVED,
        ),
    ]


def _bytes() -> list[Fault]:
    texts = {"": "a\u2028b\u2029c", "controls": "a\x00\x1f\x7f\x85b", "cr": "a\rb\r\nc\n"}
    lone = [within(chat_body("@"), text) for text in (b'"\\ud800 alone"', b'"pair \\udc00\\ud83d"')]
    thought = within(chat_body("x", message={"reasoning_content": "@"}), b'"\\ud800 hm"')
    refused = within(chat_body("", message={"refusal": "@"}), b'"\\ud800 no"')
    in_error = replace(within(error_body("@"), b'"\\ud800 wrong"'), status=400)
    named = within(chat_body("x", model="@"), b'"\\udfff"')
    bad_utf8 = within(chat_body("@"), b'"\xff\xfe"')
    deep = within(chat_body("x", extra="@"), b"[" * 100_000 + b"]" * 100_000)
    number = within(chat_body("x", extra="@"), b"9" * 5000)
    levels = {depth: b"[" * depth + b"]" * depth for depth in (240, 300, 500, 1000)}
    nested = {f"deep-{depth}": within(chat_body("x", extra="@"), value) for depth, value in levels.items()}
    useless = {f"deep-{depth}-useless": within(chat_body("", extra="@"), value) for depth, value in levels.items()}
    streamed = {
        f"deep-{depth}-{where}": sse([dumps(piece).replace(b'"@"', value).join((b"data: ", b"\n\n"))])
        for depth, value in levels.items()
        for where, piece in {
            "stream": chunk({"content": "x"}, extra="@"),
            "call": chunk({"content": "x", "function_call": {"name": "f", "more": {"a": "@"}}}),
            "tool": chunk({"content": "x", "tool_calls": [{"index": 0, "function": {"arguments": "@"}}]}),
        }.items()
    }
    return [
        Fault("P13", "half a surrogate pair", (lone[0],), ONCE),
        Fault("P13", "a pair the wrong way round", (lone[1],), ONCE, "swapped"),
        Fault("P13", "half a pair among the thoughts", (thought,), ONCE, "reasoning"),
        Fault("P13", "half a pair in a refusal", (refused,), Expect("refusal", keep_raw=True), "refusal"),
        Fault("P13", "half a pair in an error", (in_error,), Expect("invalid_request", keep_raw=True), "error"),
        Fault("P13", "half a pair in the model's name", (named,), ONCE, "model"),
        Fault("P13", "bytes that are no UTF-8", (bad_utf8,), SURVIVED, "utf-8"),
        Fault("P14", "an integer of 5,000 digits", (number,), SURVIVED),
        *variants("P14", "nested as deep as a parser goes", nested, SURVIVED),
        *variants("P14", "nested deep, and no answer", useless, Expect("bad_response", ("ok",), (1, 2), keep_raw=True)),
        *(
            replace(fault, body=STREAM, needs={"max_attempts": 2})
            for fault in variants("P14", "a stream that is nested deep", streamed, replace(SURVIVED, exits=(0, 1)))
        ),
        Fault("P14", "100,000 brackets deep", (deep,), SURVIVED, "deep"),
        Fault("P14", "100,000 open brackets", (written(b"[" * 100_000),), RETRIED, "open"),
        *(
            Fault("P19", "line ends that are none", (ok_chat(text),), Expect(content=text), name)
            for name, text in texts.items()
        ),
    ]


def _usage() -> list[Fault]:
    shapes: dict[str, object] = {
        "": OMIT,
        "null": None,
        "empty": {},
        "list": [],
        "partial": {"prompt_tokens": 10},
        "zero": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},  # of a gateway that did not count
    }
    absurd = {"string": "5", "bool": True, "negative": -5, "float": 5.5, "huge": 10**30}
    unknown = Expect(flags=("usage unknown",))
    grown = STREAMS["siliconflow-cumulative"].step()
    return [
        *variants("P15", "usage", {name: ok_chat(usage=value) for name, value in shapes.items()}, unknown),
        *variants(
            "P15",
            "no count, but it follows from the other two",
            {name: ok_chat(usage={**USAGE, "completion_tokens": value}) for name, value in absurd.items()},
            Expect(usage=(10, 5)),
        ),
        *variants(
            "P15",
            "no count, and no total it could follow from",
            {
                f"{name}-alone": ok_chat(usage={"prompt_tokens": 10, "completion_tokens": value})
                for name, value in absurd.items()
            },
            unknown,
        ),
        Fault(
            "P16",
            "usage grows from chunk to chunk",
            (grown,),
            Expect(content="Hello", usage=(12, 3)),
            body=STREAM,
        ),
    ]


def _several() -> list[Fault]:
    message = {"role": "assistant", "content": "first"}
    second = {"index": 1, "message": {**message, "content": "second"}, "finish_reason": "stop"}
    swapped = ok_chat(choices=[second, {"index": 0, "message": message, "finish_reason": "stop"}])
    unnumbered = ok_chat(choices=[{"message": message, "finish_reason": "stop"}])
    first = Expect(content="first")
    mixed = STREAMS["n2-interleaved"]
    half = sse(
        [chunk({"content": "A"}), chunk({"content": "B"}, index=1), chunk({}, finish_reason="stop")],
        finish_reason=None,
        done=False,
    )
    two: dict[str, object] = {"n": 2}
    other = Expect(flags=("model",))
    return [
        Fault("P17", "choices out of order", (swapped,), first, body=two),
        Fault("P17", "a choice without an index", (unnumbered,), first, "no-index"),
        Fault(
            "P17",
            "choices interleaved in a stream",
            (mixed.step(),),
            Expect(content="Alpha"),
            "stream",
            body={**STREAM, **two},
        ),
        Fault(
            "P17",
            "only one of two choices finished",
            (half, mixed.step()),
            RETRIED,
            "half",
            body={**STREAM, **two},
        ),
        Fault("P18", "another model answers", (ok_chat(model="other-model"),), other),
    ]


PAYLOAD: tuple[Fault, ...] = (
    *_choices(),
    *_endings(),
    *_tools_and_json(),
    *_bytes(),
    *_usage(),
    *_several(),
)
