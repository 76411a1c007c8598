import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.thinking import split_thinking


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>\nhm\n</think>\n\n42\n", ("hm", "42", True)),
        ("\ufeff\n <think>hm</think>42", ("hm", "42", True)),
        ("<think>\n\n</think>\n\n42", (None, "42", True)),
        ("<think>hm, then", ("hm, then", "", False)),
        ("<think>", (None, "", False)),
        ("hm\n</think>\n\n42", ("hm", "42", True)),
        ("hm.</think>42", ("hm.", "42", True)),
        ("</think>\n42", (None, "42", True)),
        ("<think>a</think>b</think>c", ("a", "b</think>c", True)),
        ("hm.</think>", ("hm.", "", True)),
    ],
)
def test_reasoning_is_parted_from_the_answer(text, expected):
    assert split_thinking(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 42 \n",
        "Models write <think>…</think> first.",
        "It ends at `</think>`, then answers.",
        'It ends at "</think>", then answers.',
        '{"html": "a </think> b"}',
        '["</think>"]',
        "```\n</think>\n```",
        "A tag <think> in the midst",
    ],
)
def test_a_tag_that_is_content_changes_nothing(text):
    assert split_thinking(text) == (None, text, True)


@given(st.text(), st.text().filter(lambda text: "</think>" not in text))
def test_no_character_of_the_answer_is_lost(answer, reasoning):
    split = split_thinking(f"<think>{reasoning}</think>{answer}")
    blank = "\ufeff \t\r\n\v\f\u00a0\u200b"
    assert split == (reasoning.strip(blank) or None, answer.strip(blank), True)


@given(st.text())
def test_text_without_tags_is_untouched(text):
    if "think>" not in text:
        assert split_thinking(text) == (None, text, True)
