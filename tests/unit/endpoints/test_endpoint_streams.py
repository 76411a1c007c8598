"""Streamed replies: whole only when they prove it, the same however they were cut, as users load them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from batchllm import strictjson
from batchllm.endpoints import endpoint_for
from batchllm.endpoints.deltas import ToolCalls
from batchllm.errors import ErrorCode
from batchllm.protocols import Assembler
from tests.unit.endpoints.streams import CHAT, SAMPLES, USAGE, Sample, choice, chunk, event, response_body

SDK: dict[str, Any] = {CHAT: ChatCompletion, "/v1/completions": Completion, "/v1/responses": Response}


def fed(url: str, *pieces: bytes) -> Assembler:
    assembler = endpoint_for(url).assembler({})
    for piece in pieces:
        assembler.feed(piece)
    return assembler


def chat(*pieces: bytes) -> dict[str, Any]:
    return fed(CHAT, *pieces).body()


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_a_stream_cut_anywhere_is_finished_only_once_its_end_is_proved(sample: Sample) -> None:
    for at in range(len(sample.data) + 1):
        assert fed(sample.url, sample.data[:at]).finished is (at >= sample.proof), sample.data[:at][-60:]


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_asking_after_every_byte_changes_nothing(sample: Sample) -> None:
    assembler = endpoint_for(sample.url).assembler({})
    for at in range(len(sample.data)):
        assembler.feed(sample.data[at : at + 1])
        assert assembler.finished is (at + 1 >= sample.proof)
        assembler.body()
    assert assembler.body() == fed(sample.url, sample.data).body()


@given(st.sampled_from(list(SAMPLES.values())), st.lists(st.tuples(st.integers(0, 3000), st.booleans())))
def test_cuts_do_not_matter(sample: Sample, cuts: list[tuple[int, bool]]) -> None:
    assembler, start = endpoint_for(sample.url).assembler({}), 0
    for stop, ask in sorted(cuts):
        assembler.feed(sample.data[start:stop])
        start = max(start, stop)
        assert not ask or assembler.finished is (start >= sample.proof)
    assembler.feed(sample.data[start:])
    assert assembler.body() == fed(sample.url, sample.data).body()


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("error", "marker")])
def test_an_assembled_body_loads_as_the_type_users_annotate_with(name: str) -> None:
    sample = SAMPLES[name]
    SDK[sample.url].model_validate(fed(sample.url, sample.data).body())


def test_a_chat_stream_becomes_the_reply_in_one_piece() -> None:
    assert chat(SAMPLES["openai"].data) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m-1",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Grüß Gott 😀\u2028!", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": USAGE,
    }


def test_a_first_chunk_without_choices_is_nothing_special() -> None:
    body = chat(SAMPLES["azure"].data)
    assert (body["id"], body["model"]) == ("chatcmpl-1", "m-1")
    assert body["prompt_filter_results"] == [{"prompt_index": 0}]
    assert body["choices"][0]["content_filter_results"] == {"hate": {"filtered": False, "severity": "safe"}}


def test_reasoning_is_kept_apart_and_the_last_cumulative_usage_counts() -> None:
    body = chat(SAMPLES["reasoning"].data)
    assert body["choices"][0]["message"]["reasoning_content"] == "Let me see"
    assert body["choices"][0]["message"]["content"] == "42"
    assert body["choices"][0]["native_finish_reason"] == "STOP"
    assert body["provider"] == "Somewhere"
    assert body["usage"] == USAGE


def test_choices_grow_by_their_index_and_come_in_order() -> None:
    first, second = chat(SAMPLES["several"].data)["choices"]
    assert (first["index"], first["message"]["content"], first["finish_reason"]) == (0, "a1a2", "stop")
    assert (second["index"], second["message"]["content"], second["finish_reason"]) == (1, "b1", "length")
    assert [entry["token"] for entry in first["logprobs"]["content"]] == ["a1", "a2"]


def test_a_choice_below_a_seen_one_that_has_not_begun_keeps_the_stream_open() -> None:
    assert not fed(CHAT, event(chunk(choice(1, "stop", content="b")))).finished


def ended(url: str, asked: dict[str, Any], *pieces: bytes) -> bool:
    assembler = endpoint_for(url).assembler(asked)
    for piece in pieces:
        assembler.feed(piece)
    return assembler.finished


def test_a_stream_has_as_many_choices_as_were_asked_for_or_the_servers_word_that_it_has_not() -> None:
    first, second = (event(chunk(choice(index, "stop", content="a"))) for index in (0, 1))
    assert not ended(CHAT, {"n": 2}, first)
    assert ended(CHAT, {"n": 2}, first, second)
    assert ended(CHAT, {"n": 2}, first, event("[DONE]"))
    assert ended(CHAT, {"n": None}, first)


@pytest.mark.parametrize(
    ("prompt", "n", "asked"),
    [("a", 1, 1), ("a", 2, 2), (["a", "b"], 1, 2), (["a", "b"], 2, 4), ([1, 2, 3], 1, 1), ([[1], [2]], 1, 2)],
)
def test_completions_have_a_choice_for_each_prompt_and_n(prompt: Any, n: int, asked: int) -> None:
    url = "/v1/completions"
    texts = [event(chunk({"index": index, "text": "a", "finish_reason": "stop"})) for index in range(asked)]
    assert not ended(url, {"prompt": prompt, "n": n}, *texts[:-1])
    assert ended(url, {"prompt": prompt, "n": n}, *texts)


def test_tool_calls_are_put_together() -> None:
    (only,) = chat(SAMPLES["tools"].data)["choices"]
    assert only["message"]["content"] is None
    assert only["message"]["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "look", "arguments": '{"q": "é"}'}},
        {"id": "call_b", "type": "function", "function": {"name": "stop", "arguments": "{}"}},
    ]


def calls(*deltas: Any) -> list[tuple[str, str, str]]:
    tools = ToolCalls()
    for delta in deltas:
        tools.take(delta)
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in tools.calls()]


def test_tool_calls_without_an_index_are_told_apart_by_id_and_name() -> None:
    a = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    assert calls(a, {"id": "b", "function": {"name": "g", "arguments": "[]"}}) == [
        ("a", "f", "{}"),
        ("b", "g", "[]"),
    ]
    assert calls({"id": "a", "function": {"name": "f", "arguments": "{"}}, {"function": {"arguments": "}"}}) == [
        ("a", "f", "{}")
    ]
    nameless = {"function": {"name": "f", "arguments": "{}"}}
    assert calls(nameless, nameless) == [("", "f", "{}"), ("", "f", "{}")]


def test_two_calls_under_one_index_are_two() -> None:
    both = [{"index": 0, "id": name, "function": {"name": "f", "arguments": "{}"}} for name in "ab"]
    assert calls(*both) == [("a", "f", "{}"), ("b", "f", "{}")]


def test_an_id_drawn_anew_in_each_piece_does_not_split_a_call() -> None:
    pieces = [
        {"index": 0, "id": "x1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "id": "x2", "function": {"arguments": "{"}},
        {"index": 0, "id": "x3", "function": {"name": None, "arguments": "}"}},
    ]
    assert calls(*pieces) == [("x1", "f", "{}")]


def test_a_name_repeated_in_each_piece_is_said_once() -> None:
    pieces = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": text}} for text in ("{", "}")]
    assert calls(*pieces) == [("a", "f", "{}")]


def test_refusals_unknown_fields_and_parts_are_kept() -> None:
    body = chat(
        event(chunk(choice(refusal="I can", mood="grim", annotations=[{"a": 1}]))),
        event(chunk(choice(refusal="not", mood="fine", annotations=[{"a": 2}], audio={"id": "x", "data": "AA"}))),
        event(chunk(choice(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]))),
        event(chunk(choice(audio={"data": "BB"}, content=[{"type": "text", "text": "ok"}]))),
        event(chunk(choice(finish="stop"))),
    )
    message = body["choices"][0]["message"]
    assert message["refusal"] == "I cannot"
    assert message["mood"] == "fine"
    assert message["annotations"] == [{"a": 1}, {"a": 2}]
    assert message["audio"] == {"id": "x", "data": "AABB"}
    assert (message["content"], message["reasoning_content"]) == ("ok", "hm")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (event({"error": {"message": "no", "code": 500}}), {"message": "no", "code": 500}),
        (event({"error": "no"}), {"message": "no"}),
        (event({"type": "error", "error": {"type": "overloaded_error"}}), {"type": "overloaded_error"}),
        (event({"type": "error", "code": "x", "message": "no"}), {"code": "x", "message": "no"}),
        (event({"object": "error", "message": "no", "code": 400}), {"message": "no", "code": 400}),
        (
            event({"code": 50501, "message": "busy", "data": None}),
            {"code": 50501, "message": "busy", "data": None},
        ),
        (event({"message": "no"}, "error"), {"message": "no"}),
        (event("went away", "error"), {"message": "went away"}),
        (b'{"error": {"message": "no"}}', {"message": "no"}),
    ],
)
def test_an_error_in_the_stream_is_the_body_in_every_shape(data: bytes, error: Any) -> None:
    for url in (CHAT, "/v1/completions", "/v1/responses"):
        assembler = fed(url, data)
        assert assembler.finished
        assert assembler.body() == {"error": error}
        assert endpoint_for(url).read(assembler.body()).problem is ErrorCode.BAD_RESPONSE


def test_an_error_after_text_takes_the_place_of_the_answer() -> None:
    assert set(chat(SAMPLES["error"].data)) == {"error"}


def test_an_error_after_the_proved_end_takes_nothing_back() -> None:
    data = event(chunk(choice(finish="stop", content="paid for")))
    body = chat(data, event({"error": {"message": "while closing"}}))
    assert body["choices"][0]["message"]["content"] == "paid for"


def test_a_torn_chunk_leaves_a_hole_that_no_later_marker_closes() -> None:
    start, hole = event(chunk(choice(content="a"))), b'data: {"choices": [{"delta": {"con\n\n'
    end = event(chunk(choice(finish="stop"))) + event("[DONE]")
    assert not fed(CHAT, start, hole, end).finished
    assert fed(CHAT, start, end, hole).finished


def test_a_stream_of_only_the_marker_is_not_finished() -> None:
    assert not fed(CHAT, event("[DONE]")).finished
    assert not fed(CHAT, event(chunk()), event("[DONE]")).finished


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        (b": keep-alive\n\n", False),
        (b"\n\n", False),
        (b"event: ping\n\n", False),
        (b"data:\n\n", False),
        (b"data: null\n\n", False),
        (event(chunk(choice(content="a"))), True),
        (b'data: {"choi', True),
        (b"data: [DONE]\n\n", True),
        (b" \n ", False),
        (b"", False),
        (b'{"choices"', True),
    ],
)
def test_only_payload_counts_against_silence(data: bytes, payload: bool) -> None:
    assert endpoint_for(CHAT).assembler({}).feed(data) is payload


def test_a_terminal_event_without_its_output_gets_the_items_seen() -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    body = fed(
        "/v1/responses",
        event({"type": "response.output_item.done", "output_index": 0, "item": item}),
        event({"type": "response.completed", "response": response_body("completed", [])}),
    ).body()
    assert body["output"] == [item]


def test_an_unfinished_response_holds_what_came_so_far() -> None:
    sample = SAMPLES["response"]
    body = fed(sample.url, sample.data[: sample.data.index(b"event: response.completed")]).body()
    assert endpoint_for(sample.url).read(body).text == "Hi there"
    assert body["status"] == "in_progress"
    begun = [
        {
            "type": "response.reasoning_summary_text.delta",
            "output_index": 0,
            "summary_index": 0,
            "delta": "hm",
        },
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a":'},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {"type": "function_call", "name": "f"},
        },
        {"type": "response.output_text.delta", "output_index": 2, "content_index": 0, "delta": "par"},
    ]
    output = fed(sample.url, *map(event, begun)).body()["output"]
    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert output[1]["arguments"] == '{"a":'
    assert output[2]["content"] == [{"type": "output_text", "text": "par", "annotations": []}]


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "index",
    "delta",
    "message",
    "finish_reason",
    "logprobs",
    "content",
    "reasoning",
    "tool_calls",
    "function_call",
    "audio",
    "id",
    "name",
    "function",
    "arguments",
    "type",
    "text",
    "refusal",
    "item",
    "response",
    "output_index",
    "output",
    "delta",
    "usage",
    "error",
    "choices",
    "code",
]
CHUNKS = st.recursive(
    JSON | st.sampled_from(["response.output_text.delta", "response.output_item.done", "response.completed"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


@given(st.sampled_from([*SDK, "/v1/embeddings"]), st.lists(CHUNKS | st.binary(max_size=20), max_size=5))
def test_no_chunk_ever_raises(url: str, chunks: list[Any]) -> None:
    assembler = endpoint_for(url).assembler({})
    for value in chunks:
        assembler.feed(value if isinstance(value, bytes) else b"data: " + strictjson.dumps(value) + b"\n\n")
    assert isinstance(assembler.finished, bool)
    endpoint_for(url).read(assembler.body())
    strictjson.dumps(assembler.body())


def test_nested_as_deep_as_a_parser_goes_does_not_raise() -> None:
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    data = b'data: {"choices":[{"delta":{"audio":' + deep + b',"tool_calls":[' + deep + b"]}}]}\n\n"
    endpoint_for(CHAT).read(chat(data, data))
