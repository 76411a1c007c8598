import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchllm.validation import find_json

SURROGATE = "\ud800"
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
words = st.text(alphabet=st.characters(exclude_characters='{}[]<`~"'), max_size=60)


@pytest.mark.parametrize(
    ("text", "value", "path"),
    [
        ('{"a": 1}', {"a": 1}, "plain"),
        ('\ufeff \n{"a": 1}\n\n', {"a": 1}, "plain"),
        ("[1, 2]", [1, 2], "plain"),
        ("null", None, "plain"),
        ('{"t": "see: http://x/"}', {"t": "see: http://x/"}, "plain"),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}, "plain"),
        ('<think>{"a": 0}</think>\n\n{"a": 1}', {"a": 1}, "plain"),
        ('Let me see {"a": 0}.\n</think>\n{"a": 1}', {"a": 1}, "plain"),
        ('{"html": "<think>x</think>"}', {"html": "<think>x</think>"}, "plain"),
        ('```json\n{"a": 1}\n```', {"a": 1}, "fence"),
        ('```\n{"a": 1}\n```\n', {"a": 1}, "fence"),
        ('~~~json\r\n{"a": 1}\r\n~~~', {"a": 1}, "fence"),
        ('Here it is:\n\n  ```json\n  {"a": 1}\n  ```\nAnything else?', {"a": 1}, "fence"),
        ('```json\n{"code": "```py\\nx\\n```"}\n```', {"code": "```py\nx\n```"}, "fence"),
        ('````\n{"a": "```"}\n````', {"a": "```"}, "fence"),
        ('```json\n{"a": 1}', {"a": 1}, "fence"),
        ('```py\nx = 1\n```\n```json\n{"a": 1}\n```', {"a": 1}, "fence"),
        ('<think>hm</think>```json\n{"a": 1}\n```', {"a": 1}, "fence"),
        ('```json {"a": 1} ```', {"a": 1}, "prose"),
        ('Sure! {"a": {"b": [1]}} Done.', {"a": {"b": [1]}}, "prose"),
        ('As {x, y} and [see below] say: {"a": 1}', {"a": 1}, "prose"),
        ('{{"a": 1}}', {"a": 1}, "prose"),
        ('{note: {"a": 1}}', {"a": 1}, "prose"),
        ('{"a": 1} {"a": 2}', {"a": 1}, "prose"),
        ('According to [1]: {"a": 1}', {"a": 1}, "prose"),
        ('{} is wrong, {"a": "}{"} is right', {"a": "}{"}, "prose"),
        ('{"a": 1, oops} Sorry: {"a": 1}', {"a": 1}, "prose"),
    ],
)
def test_finds_the_value_and_says_how(text, value, path):
    found = find_json(text)
    assert found is not None
    assert (found.value, found.path, found.duplicate_keys) == (value, path, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot help with that.",
        '{"a": 1',
        '{"items": [{"a": 1}, {"a": 2}, {"a"',  # the pieces of a cut-off answer are no answer
        '{"a": oops, "b": {"c": 1}}',
        '<think>{"a": 1}',
        "NaN",
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e400}',
        '{"a": "\\ud800", "b": 1e400}',
        "9" * 5000,
        '{"a": ' + "9" * 5000 + "}",
        "[" * 100_000,
        "[" * 300 + "]" * 300,
        "[12345678901234567890, " * 300 + "0" + "]" * 300,
        '{"a":' * 100_000,
        "[12345678901234567890," * 100_000,
    ],
)
def test_what_is_not_whole_json_is_not_found(text):
    assert find_json(text) is None


def test_integers_beyond_64_bits_stay_exact():
    assert find_json('{"id": 123456789012345678901234567890}').value == {"id": 123456789012345678901234567890}


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', f'{{"a": "{SURROGATE}"}}', f'So: {{"a": "{SURROGATE}"}}.'])
def test_lone_surrogates_are_accepted(text):
    assert find_json(text).value == {"a": SURROGATE}


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '```\n{"a": 1, "a": 2}\n```', 'So {"a": 1, "a": 2}.'])
def test_repeated_keys_are_flagged_and_the_last_wins(text):
    found = find_json(text)
    assert (found.value, found.duplicate_keys) == ({"a": 2}, True)


@pytest.mark.parametrize(
    "unit",
    [
        "{",
        "[",
        '{"',
        '{"a":',
        '{"a"}',
        "[1,",
        "[[x]] ",
        "{}",
        '"\\',
        '\\"{',
        '{"a\\"',
        "```\n",
        "~~~\n```\n",
        "<think>",
    ],
)
def test_a_megabyte_of_anything_takes_linear_time(unit):
    """A quadratic way would take minutes; the bound only has to tell them apart."""
    text = unit * (1_000_000 // len(unit))
    began = time.perf_counter()
    find_json(text)
    assert time.perf_counter() - began < 10


@settings(deadline=None)
@given(st.text() | st.text(alphabet='{}[]",:\\`~\n 1ae<think/>', max_size=80))
def test_never_raises(text):
    find_json(text)


@settings(deadline=None)
@given(values, st.booleans())
def test_any_value_alone_is_found(value, ascii_only):
    assert find_json(json.dumps(value, ensure_ascii=ascii_only)).value == value


@settings(deadline=None)
@given(values, words, words, st.sampled_from([None, 2]))
def test_any_value_in_a_fence_is_found(value, before, after, indent):
    text = f"{before}\n```json\n{json.dumps(value, indent=indent)}\n```\n{after}"
    found = find_json(text)
    assert (found.value, found.path) == (value, "fence")


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), values, max_size=4) | st.lists(values, max_size=4), words, words)
def test_any_object_or_array_between_words_is_found(value, before, after):
    assert find_json(f"So {before} {json.dumps(value)} {after}.").value == value


@pytest.mark.parametrize(
    "text", ['{"a": "one\ntwo\ttab"}', '```json\n{"a": "one\ntwo\ttab"}\n```', 'So: {"a": "one\ntwo\ttab"}.']
)
def test_control_characters_in_strings_are_taken_as_they_stand(text):
    found = find_json(text)
    assert found is not None
    assert found.value == {"a": "one\ntwo\ttab"}
