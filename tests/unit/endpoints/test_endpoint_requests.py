"""Request bodies: what is refused before it costs anything, and how an answer of a schema is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from batchllm.endpoints import endpoint_for
from batchllm.endpoints.instruction import instruction
from batchllm.types import Answer

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
USER = {"role": "user", "content": "How old?"}
BODY = {"model": "m", "messages": [USER]}
chat, responses, completions = (endpoint_for(f"/v1/{name}") for name in ("chat/completions", "responses", "completions"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": None}, "model"),
        ({"model": " "}, "model"),
        ({"model": 7}, "model"),
        ({"messages": None}, '"messages"'),
        ({"messages": []}, '"messages"'),
        ({"messages": {"role": "user"}}, '"messages"'),
        ({"messages": [USER, "hello"]}, "Message 2 must be an object"),
        ({"messages": [{"content": "x"}]}, 'Message 1 must have a "role"'),
        ({"messages": [{"role": "user"}]}, 'Message 1 (user) has no "content"'),
        ({"messages": [{"role": "user", "content": 3}]}, "text or a list"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "objects"),
        ({"n": 0}, '"n"'),
        ({"n": True}, '"n"'),
        ({"n": "2"}, '"n"'),
        ({"stream": "yes"}, '"stream"'),
        ({"stream": 1}, '"stream"'),
    ],
)
def test_a_chat_body_that_cannot_be_sent_is_named(change: dict[str, Any], words: str) -> None:
    assert words in (chat.check({**BODY, **change}) or "")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"n": 3, "stream": True},
        {"n": None, "stream": None},
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [{"id": "c"}]},
                {"role": "tool", "content": ""},
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    ],
)
def test_a_chat_body_that_can_be_sent_passes(change: dict[str, Any]) -> None:
    assert chat.check({**BODY, **change}) is None


def test_a_schema_is_asked_for_strictly() -> None:
    asked = chat.with_schema(BODY, "my schema!", SCHEMA, "json_schema")
    form = {"name": "my_schema_", "schema": SCHEMA, "strict": True}
    assert asked == {**BODY, "response_format": {"type": "json_schema", "json_schema": form}}


def test_a_schema_may_say_itself_that_it_is_not_strict() -> None:
    asked = chat.with_schema(BODY, "s", {**SCHEMA, "strict": False}, "json_schema")
    assert asked["response_format"]["json_schema"] == {"name": "s", "schema": SCHEMA, "strict": False}


def test_json_mode_tells_the_schema_also_where_a_message_already_says_json() -> None:
    asked = chat.with_schema(BODY, "s", SCHEMA, "json_object")
    assert asked["response_format"] == {"type": "json_object"}
    assert asked["messages"] == [{"role": "system", "content": instruction(SCHEMA)}, USER]
    said = {"role": "user", "content": [{"type": "text", "text": "As Json"}]}
    asked = chat.with_schema({**BODY, "messages": [said]}, "s", SCHEMA, "json_object")
    assert asked["messages"] == [{"role": "system", "content": instruction(SCHEMA)}, said]
    asked = responses.with_schema({"model": "m", "input": "As JSON"}, "s", SCHEMA, "json_object")
    assert instruction(SCHEMA) in responses.prompt_text(asked)
    asked = completions.with_schema({"model": "m", "prompt": "As JSON"}, "s", SCHEMA, "json_object")
    assert instruction(SCHEMA) in asked["prompt"]


def test_a_tool_is_forced_beside_the_lines_own() -> None:
    asked = chat.with_schema({**BODY, "tools": [{"own": 1}]}, "s", SCHEMA, "tool")
    own, forced = asked["tools"]
    assert own == {"own": 1}
    assert (forced["type"], forced["function"]["name"], forced["function"]["parameters"]) == (
        "function",
        "s",
        SCHEMA,
    )
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "s"}}


@pytest.mark.parametrize("role", ["system", "developer"])
def test_in_words_the_schema_goes_behind_the_system_message(role: str) -> None:
    system = {"role": role, "content": "Be short."}
    asked = chat.with_schema({**BODY, "messages": [system, USER]}, "s", SCHEMA, "prompt")
    assert asked["messages"] == [{"role": role, "content": f"Be short.\n\n{instruction(SCHEMA)}"}, USER]
    parts = {"role": role, "content": [{"type": "text", "text": "Be short."}]}
    asked = chat.with_schema({**BODY, "messages": [parts]}, "s", SCHEMA, "prompt")
    assert asked["messages"][0]["content"][1] == {"type": "text", "text": instruction(SCHEMA)}


@pytest.mark.parametrize("mode", ["json_schema", "json_object", "tool", "prompt"])
def test_a_line_that_says_its_own_format_is_left_alone(mode: str) -> None:
    own = {**BODY, "response_format": {"type": "text"}}
    assert chat.with_schema(own, "s", SCHEMA, mode) == own
    own = {"model": "m", "input": "x", "text": {"format": {"type": "text"}}}
    assert responses.with_schema(own, "s", SCHEMA, mode) == own


def test_a_mode_that_does_not_exist_is_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="json_schema"):
        chat.with_schema(BODY, "s", SCHEMA, "guess")


def test_the_instruction_says_json_and_shows_the_schema() -> None:
    words = instruction(SCHEMA)
    assert "JSON" in words
    assert '"required":["a"]' in words


def test_asking_again_shows_the_rejected_answer_and_the_complaint() -> None:
    again = chat.with_reask(BODY, Answer(text="{}"), "a is missing")
    assert again["messages"] == [
        USER,
        {"role": "assistant", "content": "{}"},
        {"role": "user", "content": "a is missing"},
    ]
    assert [message["role"] for message in chat.with_reask(BODY, Answer(), "x")["messages"]] == [
        "user",
        "assistant",
        "user",
    ], "templates demand that roles alternate"


def test_a_prompt_is_all_its_billed_texts() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "one"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "two"}, {"type": "image_url", "image_url": {}}],
            },
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "three"}}]},
        ],
        "tools": [{"function": {"name": "four"}}],
        "response_format": {"json_schema": {"name": "five"}},
    }
    text = chat.prompt_text(body)
    assert [word for word in ("one", "two", "three", "four", "five") if word not in text] == []


def test_responses_are_asked_in_their_own_fields() -> None:
    body = {"model": "m", "input": "How old?"}
    assert responses.check(body) is None
    assert responses.check({"model": "m"}) is not None
    assert responses.check({"model": "m", "input": ["x"]}) is not None
    assert responses.check({"model": "m", "input": 3}) is not None
    form = {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True}
    assert responses.with_schema(body, "s", SCHEMA, "json_schema")["text"] == {"format": form}
    asked = responses.with_schema(body, "s", SCHEMA, "json_object")
    assert asked["input"] == [{"role": "system", "content": instruction(SCHEMA)}, USER]
    assert responses.with_schema(body, "s", SCHEMA, "tool")["tool_choice"] == {
        "type": "function",
        "name": "s",
    }
    worded = responses.with_schema({**body, "instructions": "Be short."}, "s", SCHEMA, "prompt")
    assert worded["instructions"] == f"Be short.\n\n{instruction(SCHEMA)}"
    assert responses.with_reask(body, Answer(text="x"), "no")["input"] == [
        USER,
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "no"},
    ]
    call = {"type": "function_call_output", "output": "called"}
    assert "called" in responses.prompt_text({"instructions": "a", "input": [USER, call], "tools": [{"b": "c"}]})


def test_completions_are_asked_in_words() -> None:
    body = {"model": "m", "prompt": "How old?"}
    assert completions.check(body) is None
    assert completions.check({"model": "m", "prompt": ""}) is not None
    assert completions.with_schema(body, "s", SCHEMA, "tool") == completions.with_schema(body, "s", SCHEMA, "prompt")
    assert instruction(SCHEMA) in completions.with_schema(body, "s", SCHEMA, "json_object")["prompt"]
    assert completions.with_schema(body, "s", SCHEMA, "json_schema")["response_format"]["type"] == "json_schema"
    numbers = {"model": "m", "prompt": [1, 2, 3]}
    assert completions.with_schema(numbers, "s", SCHEMA, "prompt") == numbers
    again = completions.with_reask({"prompt": ["a"]}, Answer(text="b"), "c")["prompt"]
    assert again == ["ab\n\nc\n\n"]
    assert completions.prompt_text({"prompt": ["a", 1], "suffix": "b"}) == "a\nb"


def test_embeddings_count_every_input() -> None:
    embeddings = endpoint_for("/v1/embeddings")
    assert embeddings.prompt_text({"input": ["a", "b"]}) == "a\nb"
    assert embeddings.check({"model": "m", "input": []}) is not None
    assert embeddings.check({"model": "m", "input": "a"}) is None
