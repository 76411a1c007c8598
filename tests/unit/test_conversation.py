"""What of a conversation goes along with each turn, and how one is taken up again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.conversation import Conversation, History, history_from
from batchllm.types import Json

SYSTEM = {"role": "system", "content": "be brief"}


def talk(turns: int = 4, history: History | None = None, opening: tuple[Json, ...] = (SYSTEM,)) -> Conversation:
    body = {"model": "m", "messages": [*opening, {"role": "user", "content": "q0"}], "max_tokens": 5}
    return Conversation(body, tuple(f"q{number}" for number in range(turns)), history or History())


def play(conversation: Conversation, turns: int) -> Conversation:
    for _ in range(turns):
        conversation.answered(f"a{conversation.turn}", {"n": conversation.turn})
    return conversation


def asked(conversation: Conversation) -> list[str]:
    return [message["content"] for message in conversation.request()["messages"]]


def test_every_answer_joins_the_history() -> None:
    assert asked(talk()) == ["be brief", "q0"]
    assert asked(play(talk(), 2)) == ["be brief", "q0", "a0", "q1", "a1", "q2"]


def test_the_body_is_the_lines_own_but_for_the_messages() -> None:
    body = play(talk(), 1).request()
    assert (body["model"], body["max_tokens"]) == ("m", 5)


@pytest.mark.parametrize(
    ("last", "kept"), [(1, []), (2, ["q2", "a2"]), (3, ["q2", "a2"]), (4, ["q1", "a1", "q2", "a2"]), (99, None)]
)
def test_the_last_messages_go_along_from_a_question_on(last: int, kept: list[str] | None) -> None:
    everything = ["q0", "a0", "q1", "a1", "q2", "a2"]
    assert asked(play(talk(history=History(last=last)), 3)) == [
        "be brief", *(everything if kept is None else kept), "q3",
    ]  # fmt: skip


def test_as_many_messages_go_along_as_the_tokens_hold() -> None:
    # Five tokens each, by estimate: a message's own four and one of text.
    assert asked(play(talk(history=History(tokens=10)), 3)) == ["be brief", "q2", "a2", "q3"]
    assert asked(play(talk(history=History(tokens=9)), 3)) == ["be brief", "q3"]


def test_the_opening_always_goes_along_examples_included() -> None:
    shots = (SYSTEM, {"role": "user", "content": "ex"}, {"role": "assistant", "content": "EX"})
    assert asked(play(talk(history=History(last=2), opening=shots), 3)) == ["be brief", "ex", "EX", "q2", "a2", "q3"]


def test_what_is_left_out_is_summarised_once_and_its_summary_stands_in_the_system_message() -> None:
    one = play(talk(5, History(last=2, summarise=True)), 2)
    assert one.summary_due() == 2
    assert "user: q0\n\nassistant: a0" in one.summary_request()["messages"][1]["content"]
    one.summarised("they greeted", 2, {})
    assert one.summary_due() == 0
    assert asked(one) == ["be brief\n\nWhat was said before, in short:\nthey greeted", "q1", "a1", "q2"]
    play(one, 1)
    told = one.summary_request()["messages"][1]["content"]
    assert "they greeted" in told
    assert "q1" in told
    assert "q0" not in told


def test_a_summary_is_not_held_to_the_answers_form() -> None:
    body = {"messages": [{"role": "user", "content": "q0"}], "response_format": {"type": "json_object"}, "temperature": 0}
    one = play(Conversation(body, ("q0", "q1", "q2"), History(last=1, summarise=True)), 1)
    assert "response_format" not in one.summary_request()
    assert one.summary_request()["temperature"] == 0


@pytest.mark.parametrize(
    ("value", "history"),
    [(None, History()), ({"last": 4}, History(last=4)), ({"tokens": 9}, History(tokens=9)),
     ({"summarise": {"last": 2}}, History(last=2, summarise=True)),
     ({"summarise": {"tokens": 5}}, History(tokens=5, summarise=True))],
)  # fmt: skip
def test_a_history_is_read(value: Any, history: History) -> None:
    assert history_from(value) == history


@pytest.mark.parametrize(
    "value",
    [3, [], {}, {"last": 0}, {"last": True}, {"last": "4"}, {"first": 2}, {"last": 1, "tokens": 2}, {"summarise": None},
     {"summarise": {"summarise": {"last": 1}}}],
)  # fmt: skip
def test_any_other_history_is_refused_in_a_sentence(value: Any) -> None:
    with pytest.raises(ValueError, match=r'must be \{"last"'):
        history_from(value)


def note(turn: int, **more: Any) -> Json:
    return {"turn": turn, "text": f"a{turn - 1}", "entry": {"n": turn}, **more}


def test_a_conversation_is_taken_up_after_the_turns_that_were_finished() -> None:
    one = talk()
    assert one.resume((note(1), note(2))) == [note(1), note(2)]
    assert asked(one) == asked(play(talk(), 2))


def test_notes_that_do_not_follow_on_each_other_are_left_aside() -> None:
    one = talk()
    assert one.resume((note(2), note(1), note(1), note(3), {"turn": 2, "text": 7}, {"turn": 2})) == [note(1)]
    assert one.turn == 1


def test_the_last_turn_is_never_taken_from_a_note() -> None:
    one = talk(2)
    one.resume((note(1), note(2)))
    assert one.turn == 1


def test_a_summary_is_taken_up_too() -> None:
    one = talk(4, History(last=2, summarise=True))
    one.resume((note(1), note(2), note(3, covers=2, text="short"), note(3)))
    assert one.turn == 3
    assert one.summaries == [{"n": 3}]


@given(st.integers(1, 12), st.integers(0, 11), st.none() | st.integers(1, 30), st.none() | st.integers(1, 100), st.booleans())
def test_a_request_ends_with_its_question_and_user_and_assistant_alternate(
    turns: int, played: int, last: int | None, tokens: int | None, summarise: bool
) -> None:
    history = History(last, None if last else tokens, summarise and bool(last or tokens))
    one = play(talk(turns, history, ()), min(played, turns - 1))
    roles = [message["role"] for message in one.request()["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    if last:
        assert len(roles) <= last + 1
