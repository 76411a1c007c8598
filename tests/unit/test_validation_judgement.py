import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from batchllm.validation import (
    Judgement,
    Problem,
    complaint,
    from_json_schema,
    from_model,
    instruction,
    judge,
)


class Point(BaseModel):
    x: int


POINT = from_model(Point)
ANY = from_json_schema({}, "any")


def test_an_answer_that_fits():
    assert judge('Here: {"x": "1"}', POINT) == Judgement({"x": 1}, [], "prose")


def test_a_repeated_key_is_told():
    assert judge('{"x": 1, "x": 2}', POINT) == Judgement({"x": 2}, [], "plain", duplicate_keys=True)


def test_an_answer_that_does_not_fit_has_no_parsed_value():
    verdict = judge('{"y": 1}', POINT)
    assert verdict == Judgement(None, [Problem("x", "Field required")], "plain")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the answer is empty"),
        (" \n", "the answer is empty"),
        ('{"x": ', "the answer is not JSON: unexpected end of data"),
        ("[" * 300 + "]" * 300, "nested too deep"),
    ],
)
def test_an_answer_without_json(text, message):
    verdict = judge(text, POINT)
    assert (verdict.parsed, verdict.path) == (None, None)
    assert message in verdict.problems[0].message


@settings(deadline=None)
@given(st.text())
def test_judging_and_complaining_never_raise(text):
    for schema in (POINT, ANY):
        verdict = judge(text, schema)
        assert len(complaint(verdict.problems, text)) <= 2000


def test_the_complaint_names_the_places_and_what_to_do():
    assert complaint([Problem("a.0", "too small"), Problem("", "even")], "{}") == (
        "Your answer does not fit what was asked:\n- a.0: too small\n- even\nAnswer with the corrected JSON object only."
    )
    assert complaint([Problem("", "the answer is empty")], "").startswith("Your answer was empty:")


def test_the_complaint_is_capped_and_says_how_many_are_left_out():
    text = complaint([Problem(f"field_{number}", "x" * 300) for number in range(20)], "{}")
    assert len(text) <= 2000
    assert "- and 15 more\nAnswer with" in text


@given(st.lists(st.builds(Problem, st.text(), st.text())))
def test_the_complaint_holds_no_control_character(problems):
    text = complaint(problems, "{}")
    kinds = {unicodedata.category(character) for character in text.replace("\n", "")}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}


def test_the_instruction_holds_the_schema_and_the_word_json():
    text = instruction(POINT)
    assert "json" in text
    assert '"additionalProperties":false' in text
