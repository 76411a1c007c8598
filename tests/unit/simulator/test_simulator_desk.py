"""What is answered, without a network: determinism, refusals in each dialect's words, faults, the account."""

import json
from typing import Any

import orjson
import pytest

from batchllm.simulator.answers import REFUSAL
from batchllm.simulator.desk import Desk
from batchllm.simulator.dialects import DIALECTS
from batchllm.simulator.faults import Faults
from batchllm.simulator.limits import Limits
from batchllm.simulator.options import SimulatorOptions
from batchllm.simulator.refusals import STANDARD
from batchllm.simulator.reply import Reply
from batchllm.simulator.tokens import estimate, pieces

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}


def chat(prompt: str = "Where is the lighthouse?", **more: Any) -> bytes:
    return orjson.dumps({"model": "simulated-1", "messages": [{"role": "user", "content": prompt}], **more})


def ask(raw: bytes, endpoint: str = "chat", **options: Any) -> Reply:
    return Desk(SimulatorOptions(**options), 0.0).answer(endpoint, raw, 0.0)


def answer(raw: bytes, **options: Any) -> dict[str, Any]:
    reply = ask(raw, **options)
    assert reply.status == 200, reply.body
    return dict(orjson.loads(reply.body))


def chunks(raw: bytes, **options: Any) -> list[dict[str, Any]]:
    lines = b"".join(data for data, _ in ask(raw, **options).frames or []).split(b"\n")
    return [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


def headers(reply: Reply) -> dict[str, str]:
    return dict(reply.headers)


def test_the_same_seed_and_body_give_the_same_bytes() -> None:
    assert ask(chat(), seed=4).body == ask(chat(), seed=4).body
    assert ask(chat(), seed=4).body != ask(chat(), seed=5).body
    assert ask(chat("one"), seed=4).body != ask(chat("two"), seed=4).body


def test_the_order_of_requests_changes_no_answer() -> None:
    desk = Desk(SimulatorOptions(), 0.0)
    first, second = (desk.answer("chat", chat(prompt), 0.0).body for prompt in ("one", "two"))
    other = Desk(SimulatorOptions(), 0.0)
    assert other.answer("chat", chat("two"), 0.0).body == second
    assert other.answer("chat", chat("one"), 0.0).body == first


def test_every_answer_says_that_it_is_simulated() -> None:
    reply = ask(chat())
    assert orjson.loads(reply.body)["system_fingerprint"] == "batchllm-simulator"
    assert headers(reply)["x-batchllm-simulated"] == "1"
    assert headers(ask(b"{"))["x-batchllm-simulated"] == "1"


def test_a_stream_says_what_the_whole_reply_says() -> None:
    cases: list[dict[str, Any]] = [{}, {"response_format": FORMAT}, {"n": 2}, {"max_tokens": 5}]
    for more in cases:
        whole = answer(chat(**more, x=1))
        streamed = chunks(chat(**more, x=1, stream=True), seed=0)
        assert {chunk["object"] for chunk in streamed} == {"chat.completion.chunk"}
        finishes = [choice["finish_reason"] for chunk in streamed for choice in chunk["choices"]]
        assert [finish for finish in finishes if finish] == [one["finish_reason"] for one in whole["choices"]]


def test_usage_adds_up() -> None:
    usage = answer(chat("word " * 100), reasoning="reasoning_content", cached_share=0.5)["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 < usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_token_limit_cuts_the_answer(name: str) -> None:
    limit: dict[str, Any] = {name: 5}
    made = answer(chat(**limit))
    assert made["choices"][0]["finish_reason"] == "length"
    assert made["usage"]["completion_tokens"] == 5
    assert len(pieces(made["choices"][0]["message"]["content"])) == 5


def test_thoughts_may_use_up_the_whole_limit() -> None:
    choice = answer(chat(max_tokens=8), reasoning="reasoning_content")["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert choice["message"]["reasoning_content"]


def test_reasoning_comes_in_three_shapes() -> None:
    for field in ("reasoning_content", "reasoning"):
        message = answer(chat(), reasoning=field)["choices"][0]["message"]
        assert message[field]
        assert "<think>" not in message["content"]
        assert any(c["delta"].get(field) for chunk in chunks(chat(stream=True), reasoning=field) for c in chunk["choices"])
    content = answer(chat(), reasoning="think")["choices"][0]["message"]["content"]
    assert content.startswith("<think>\n")
    assert "</think>\n\n" in content
    assert "</think>" not in answer(chat(max_tokens=8), reasoning="think")["choices"][0]["message"]["content"]


def test_a_request_may_ask_for_thought_in_the_dialects_way() -> None:
    deepseek = orjson.dumps({"model": "deepseek-reasoner", "messages": [{"role": "user", "content": "?"}]})
    assert answer(deepseek, dialect="deepseek")["choices"][0]["message"]["reasoning_content"]
    hidden = answer(chat(reasoning_effort="low"))
    assert "reasoning" not in str(hidden["choices"][0]["message"].keys())
    assert hidden["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_structured_answers_and_objects_parse() -> None:
    assert set(json.loads(answer(chat(response_format=FORMAT))["choices"][0]["message"]["content"])) == {"city"}
    body = chat("as json please", response_format={"type": "json_object"})
    assert isinstance(json.loads(answer(body)["choices"][0]["message"]["content"]), dict)


def test_a_forced_tool_is_called_with_valid_arguments() -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": SCHEMA}}]
    for choice in ("required", {"type": "function", "function": {"name": "find"}}):
        made = answer(chat(tools=tools, tool_choice=choice))["choices"][0]
        assert made["finish_reason"] == "tool_calls"
        assert made["message"]["content"] is None
        assert set(json.loads(made["message"]["tool_calls"][0]["function"]["arguments"])) == {"city"}
    assert answer(chat(tools=tools))["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("fault", ["empty", "invalid_json", "length", "refusal", "content_filter"])
def test_spoiled_answers_are_billed_answers(fault: str) -> None:
    for number in range(12):
        made = answer(chat(f"{number}", response_format=FORMAT), faults=Faults(**{fault: 1.0}))["choices"][0]
        message, finish = made["message"], made["finish_reason"]
        match fault:
            case "empty":
                assert (message["content"], finish) == ("", "stop")
            case "refusal":
                assert (message["content"], message["refusal"]) == (None, REFUSAL)
            case "invalid_json":
                with pytest.raises((ValueError, AssertionError)):
                    assert set(json.loads(message["content"])) == {"city"}
            case _:
                assert finish == fault


@pytest.mark.parametrize(
    ("fault", "status"),
    [("rate_limit", 429), ("server_error", 500), ("unavailable", 503), ("quota", 429), ("unauthorized", 401)],
)
def test_ordered_refusals_have_their_status(fault: str, status: int) -> None:
    assert ask(chat(), faults=Faults(**{fault: 1.0})).status == status


def test_an_error_may_hide_behind_a_200() -> None:
    reply = ask(chat(), dialect="openrouter", faults=Faults(error_200=1.0))
    assert reply.status == 200
    assert orjson.loads(reply.body)["error"]["code"] == 502
    (chunk,) = chunks(chat(stream=True), dialect="openrouter", faults=Faults(error_200=1.0))
    assert "choices" not in chunk
    page = ask(chat(), faults=Faults(html=1.0))
    assert (page.status, page.content_type) == (200, "text/html; charset=utf-8")


def test_a_retry_succeeds_once_the_faulty_attempts_are_over() -> None:
    desk = Desk(SimulatorOptions(faults=Faults(unavailable=1.0), fault_attempts=2), 0.0)
    assert [desk.answer("chat", chat(), 0.0).status for _ in range(4)] == [503, 503, 200, 200]


def test_limits_are_enforced_and_tell_the_true_wait() -> None:
    desk = Desk(SimulatorOptions(limits=Limits(rpm=60, burst_s=1)), 0.0)
    assert desk.answer("chat", chat(), 0.0).status == 200
    refused = desk.answer("chat", chat(), 0.0)
    assert (refused.status, headers(refused)["retry-after"]) == (429, "1")
    assert headers(refused)["retry-after-ms"] == "1000"
    assert headers(refused)["x-ratelimit-remaining-requests"] == "0"
    assert desk.answer("chat", chat(), 1.0).status == 200


def test_a_request_larger_than_the_limit_is_told_no_time_to_come_back() -> None:
    refused = ask(chat(max_tokens=500), limits=Limits(tpm=600, burst_s=10))
    assert refused.status == 429
    assert b"Request too large" in refused.body
    assert "retry-after" not in headers(refused)


def test_the_account_fails_after_so_many_answers() -> None:
    desk = Desk(SimulatorOptions(dialect="deepseek", account="no_credit", account_after=2), 0.0)
    assert [desk.answer("chat", chat(str(n)), 0.0).status for n in range(4)] == [200, 200, 402, 402]


def test_a_key_is_wanted_where_one_is_set() -> None:
    desk = Desk(SimulatorOptions(api_key="right"), 0.0)
    assert desk.answer("chat", chat(), 0.0, key="right").status == 200
    assert desk.answer("chat", chat(), 0.0, key="wrong").status == 401
    assert desk.answer("chat", chat(), 0.0).status == 401
    assert "right" not in repr(SimulatorOptions(api_key="right"))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"not json", "JSON"),
        (b"[]", "JSON"),
        (b"{}", "messages"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": [1]}', "messages"),
        (chat(n=0), "'n'"),
        (chat(max_tokens=True), "max_tokens"),
        (chat(max_tokens="9"), "max_tokens"),
    ],
)
def test_bad_requests_are_told_why(raw: bytes, said: str) -> None:
    reply = ask(raw)
    assert reply.status == 400
    assert said in orjson.loads(reply.body)["error"]["message"]


def test_prompts_that_are_too_long_and_models_nobody_has() -> None:
    assert orjson.loads(ask(chat("x" * 999), context_tokens=9).body)["error"]["code"] == "context_length_exceeded"
    assert ask(chat(model="other"), strict_models=True).status == 404
    assert ask(chat(model="other")).status == 200


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_words_every_refusal_and_answers(name: str) -> None:
    desk = Desk(SimulatorOptions(dialect=name), 0.0)
    for kind in STANDARD:
        reply = desk.refused(kind, 0.0)
        assert 400 <= reply.status < 600
        assert isinstance(orjson.loads(reply.body), dict)
    assert orjson.loads(desk.answer("chat", chat(), 0.0).body)["choices"][0]["message"]["content"]


SHAPES: dict[str, tuple[int, Any]] = {
    "openai": (
        429,
        {
            "error": {
                "message": ...,
                "type": "insufficient_quota",
                "param": None,
                "code": "insufficient_quota",
            }
        },
    ),
    "azure": (403, {"error": {"code": "QuotaExceeded", "message": ...}}),
    "dashscope": (
        400,
        {
            "error": {"message": ..., "type": "Arrearage", "param": None, "code": "Arrearage"},
            "request_id": ...,
        },
    ),
    "siliconflow": (403, {"code": 30001, "message": ..., "data": None}),
    "modelscope": (429, {"errors": {"message": ...}, "request_id": ...}),
    "deepseek": (
        402,
        {
            "error": {
                "message": "Insufficient Balance",
                "type": "unknown_error",
                "param": None,
                "code": "invalid_request_error",
            }
        },
    ),
    "openrouter": (402, {"error": {"code": 402, "message": ..., "metadata": ...}, "user_id": ...}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_an_empty_account_is_told_in_each_providers_shape(name: str) -> None:
    status, shape = SHAPES[name]
    reply = ask(chat(), dialect=name, account="no_credit")
    assert reply.status == status
    assert _fits(orjson.loads(reply.body), shape)


def _fits(value: Any, shape: Any) -> bool:
    if shape is ...:
        return bool(value)
    if isinstance(shape, dict):
        return set(value) == set(shape) and all(_fits(value[key], shape[key]) for key in shape)
    return bool(value == shape)


def test_dashscope_says_quota_where_it_means_a_rate() -> None:
    reply = ask(chat(max_tokens=90), dialect="dashscope", limits=Limits(tpm=60, burst_s=60))
    assert orjson.loads(reply.body)["error"]["code"] == "insufficient_quota"
    assert "retry-after" not in headers(reply)


def test_dashscope_thinks_in_streams_only_and_not_in_json() -> None:
    assert b"non-streaming" in ask(chat(enable_thinking=True), dialect="dashscope").body
    streamed = chunks(chat(enable_thinking=True, stream=True), dialect="dashscope")
    assert any(choice["delta"].get("reasoning_content") for chunk in streamed for choice in chunk["choices"])
    both = chat("json", enable_thinking=True, stream=True, response_format={"type": "json_object"})
    assert b"enable_thinking" in ask(both, dialect="dashscope").body


@pytest.mark.parametrize(("name", "status"), [("openai", 400), ("dashscope", 400), ("deepseek", 400), ("vllm", 200)])
def test_json_objects_want_the_word_json(name: str, status: int) -> None:
    assert ask(chat("no such word", response_format={"type": "json_object"}), dialect=name).status == status
    assert ask(chat("as JSON", response_format={"type": "json_object"}), dialect=name).status == 200


def test_azure_starts_a_stream_with_no_choices() -> None:
    first = chunks(chat(stream=True), dialect="azure")[0]
    assert first["choices"] == []
    assert first["prompt_filter_results"]
    assert headers(ask(chat(), dialect="azure"))["x-ratelimit-reset-tokens"].isdecimal()


def test_openrouter_and_deepseek_keep_the_line_busy() -> None:
    frames = ask(chat(stream=True), dialect="openrouter").frames
    assert frames is not None
    assert frames[0][0] == b": OPENROUTER PROCESSING\n\n"
    reply = ask(chat(), dialect="deepseek")
    assert reply.body.startswith(b"\n\n\n{")
    assert {"prompt_cache_hit_tokens", "prompt_cache_miss_tokens"} <= orjson.loads(reply.body)["usage"].keys()


def test_modelscope_counts_days() -> None:
    assert headers(ask(chat(), dialect="modelscope"))["modelscope-ratelimit-requests-remaining"] == "1999"


def test_local_servers_have_no_rate_headers() -> None:
    for name in ("ollama", "vllm"):
        assert not [key for key in headers(ask(chat(), dialect=name)) if key.startswith("x-ratelimit")]


def test_guided_json_is_followed() -> None:
    made = answer(chat(guided_json=SCHEMA), dialect="vllm")
    assert set(json.loads(made["choices"][0]["message"]["content"])) == {"city"}


def test_the_same_text_has_the_same_vector_in_every_request() -> None:
    def vectors(*texts: str) -> list[Any]:
        reply = ask(orjson.dumps({"model": "e", "input": list(texts)}), "embeddings")
        return [row["embedding"] for row in orjson.loads(reply.body)["data"]]

    assert vectors("a", "b") == [vectors("a")[0], vectors("b")[0]]
    assert sum(number**2 for number in vectors("a")[0]) == pytest.approx(1, abs=1e-5)


def test_pieces_join_to_the_text_again() -> None:
    for text in ("", "a  b", " \n\n x", "extraordinarily long-winded", "\u4e2d\u6587 text", "\U0001f600" * 9):
        assert "".join(pieces(text)) == text
    assert (estimate(""), estimate("abcd"), estimate("abcde"), estimate("\u4e2d\u6587\u5b57\u7b26")) == (
        0,
        1,
        2,
        3,
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": "x"},
        {"type": "array", "minItems": []},
        {"type": "object", "properties": 5},
        7,
    ],
)
def test_a_schema_nobody_can_follow_is_a_bad_request_or_ignored(schema: Any) -> None:
    body = chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert ask(body).status in (200, 400)


def test_modelscope_tells_an_empty_account_by_its_counter() -> None:
    reply = ask(chat(), dialect="modelscope", account="no_credit")
    assert headers(reply)["modelscope-ratelimit-requests-remaining"] == "0"
