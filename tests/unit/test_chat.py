"""The state of a conversation, its commands, and how an answer is shown as it grows."""

from __future__ import annotations

import io
from typing import Any

import pytest

from batchllm.chat import COMMANDS, HANDLED_OUTSIDE, HELP, Command, CommandError, Conversation, Say, obey, parse, setting
from batchllm.cli.live import Live
from batchllm.sources.request_line import RequestLine
from batchllm.strictjson import dumps
from batchllm.types import Request, Usage


def conversation(**values: Any) -> Conversation:
    given: dict[str, Any] = {"url": "/v1/chat/completions", "held_in": "messages", "params": {"model": "m"}, "stream": True}
    return Conversation(**{**given, **values})


@pytest.mark.parametrize(
    ("typed", "entry"),
    [
        ("", None),
        ("   \t", None),
        ("hello there", Say("hello there")),
        ("  hello  ", Say("hello")),
        ("two\nlines", Say("two\nlines")),
        ("//help me", Say("/help me")),
        ("/help", Command("help")),
        ("/SET temperature 0", Command("set", "temperature 0")),
        ("/system  You are brief. ", Command("system", "You are brief.")),
        ("/", Command("")),
    ],
)
def test_a_line_is_said_or_a_command_or_nothing(typed: str, entry: object) -> None:
    assert parse(typed) == entry


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("temperature=0", ("temperature", 0)),
        ("temperature 0.5", ("temperature", 0.5)),
        ('stop=["a", "b"]', ("stop", ["a", "b"])),
        ("model=qwen/qwen3=x", ("model", "qwen/qwen3=x")),
        ("stop a=b", ("stop", "a=b")),
        ("user 007", ("user", "007")),
        ("logprobs true", ("logprobs", True)),
        ("top_p NaN", ("top_p", "NaN")),
        ("top_p", ("top_p", "")),
    ],
)
def test_a_value_is_json_where_it_is_valid_json_and_text_otherwise(text: str, field: tuple[str, Any]) -> None:
    assert setting(text) == field


@pytest.mark.parametrize("text", ["", "=1", "messages=[]", "stream=true", "system x"])
def test_what_has_a_command_of_its_own_is_not_set_as_a_field(text: str) -> None:
    with pytest.raises(CommandError):
        setting(text)


def test_history_is_sent_again_without_reasoning_and_the_system_prompt_stands_first() -> None:
    one = conversation(system="Be brief.")
    one.keep("hi", "hello")
    assert one.line("and now?")["body"] == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "and now?"},
        ],
    }


@pytest.mark.parametrize("answer", [None, "", "  \n"])
def test_a_question_without_an_answer_is_forgotten(answer: str | None) -> None:
    one = conversation()
    one.keep("hi", answer)
    assert one.turns == []


def test_the_responses_endpoint_holds_its_messages_in_input() -> None:
    line = conversation(url="/v1/responses", held_in="input").line("hi")
    assert line["url"] == "/v1/responses"
    assert line["body"]["input"] == [{"role": "user", "content": "hi"}]


def test_a_saved_conversation_is_a_job_line_that_asks_its_last_question_again() -> None:
    one = conversation(system="Be brief.")
    one.keep("hi", "hello")
    one.keep("and?", "nothing")
    line = one.saved("chat-1")
    request = RequestLine({}, "/v1/chat/completions").read(1, dumps(line))
    assert isinstance(request, Request)
    assert request.custom_id == "chat-1"
    assert request.metadata == {"answer": "nothing"}
    assert [message["content"] for message in request.body["messages"]] == ["Be brief.", "hi", "hello", "and?"]


def test_there_is_nothing_to_save_before_an_answer() -> None:
    with pytest.raises(CommandError, match="nothing to save"):
        conversation().saved("chat-1")


def test_clear_forgets_the_turns_and_keeps_what_was_set() -> None:
    one = conversation(system="Be brief.")
    one.keep("hi", "hello")
    obey(one, Command("clear"))
    assert (one.turns, one.system, one.params) == ([], "Be brief.", {"model": "m"})


def test_set_changes_a_field_and_without_a_value_takes_it_out() -> None:
    one = conversation()
    obey(one, Command("set", "temperature 0"))
    assert one.line("x")["body"]["temperature"] == 0
    obey(one, Command("set", "temperature"))
    assert "temperature" not in one.line("x")["body"]


def test_system_without_a_text_means_none() -> None:
    one = conversation()
    obey(one, Command("system", "Be brief."))
    assert one.system == "Be brief."
    obey(one, Command("system"))
    assert one.system is None


def test_stream_is_switched_on_and_off_and_nothing_else() -> None:
    one = conversation()
    obey(one, Command("stream", "off"))
    assert one.stream is False
    with pytest.raises(CommandError, match="on or"):
        obey(one, Command("stream", "maybe"))


def test_usage_adds_up_and_unknown_counts_are_left_out() -> None:
    one = conversation()
    assert obey(one, Command("usage")) == ["nothing was asked yet"]
    one.count(Usage(10, 5), 0.25)
    one.count(Usage(20, 7), None)
    last, every = obey(one, Command("usage"))
    assert last.split()[2:] == ["20", "prompt,", "7", "completion"]
    assert "30 prompt, 12 completion, $0.250000" in every


def test_params_show_what_is_sent_beside_the_messages() -> None:
    one = conversation(system="Be brief.", params={"model": "m", "stop": ["ä"]})
    text = "\n".join(obey(one, Command("params")))
    for words in ('model = "m"', 'stop = ["ä"]', 'system = "Be brief."', "stream on, 0 turns"):
        assert words in text


def test_an_unknown_command_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(CommandError, match="did you mean /usage"):
        obey(conversation(), Command("usge"))
    with pytest.raises(CommandError, match="/help lists"):
        obey(conversation(), Command("xyzzy"))


def test_help_names_every_command() -> None:
    for name in (*COMMANDS, *HANDLED_OUTSIDE):
        assert f"/{name}" in HELP or name == "quit"


# -- showing ------------------------------------------------------------------------------------------------------------


def shown(*states: tuple[str | None, str | None], final: tuple[str | None, str | None]) -> str:
    stream = io.StringIO()
    live = Live(stream)
    for reasoning, text in states:
        live.show(reasoning, text)
    live.finish(*final)
    return stream.getvalue()


def test_each_piece_is_shown_once() -> None:
    assert shown((None, "Hel"), (None, "Hello"), (None, "Hello"), final=(None, "Hello you")) == "Hello you\n"


def test_an_answer_that_ends_its_line_gets_no_second_end() -> None:
    assert shown(final=(None, "Hello\n")) == "Hello\n"


def test_reasoning_is_dimmed_and_stands_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert shown(("Let", None), ("Let me", None), final=("Let me", "Yes")) == "\x1b[2mLet\x1b[0m\x1b[2m me\x1b[0m\n\nYes\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_wants_no_colour_gets_no_escape_codes(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    assert shown(final=("Let me", "Yes")) == "(reasoning) Let me\n\nYes\n"


def test_foreign_escape_codes_are_shown_as_their_codes_and_newlines_stay() -> None:
    assert shown((None, "a\x1b[31m"), final=(None, "a\x1b[31mb\nc\r\nd\x07")) == "a\\x1b[31mb\nc\nd\\x07\n"


def test_the_beginning_of_a_thinking_tag_waits_until_it_is_known_what_it_is() -> None:
    assert shown((None, "<th"), ("Hm", None), final=("Hm", "Yes")).endswith("\n\nYes\n")
    assert "<th" not in shown((None, "<th"), final=("Hm", "Yes"))
    assert shown((None, "<"), final=(None, "<")) == "<\n"


def test_an_answer_that_turns_out_to_be_another_is_shown_anew() -> None:
    assert shown((None, "I think"), final=("I think", "Yes")).endswith("I think\nYes\n") is False
    assert "\nYes\n" in "\n" + shown((None, "I think"), final=(None, "Yes"))
