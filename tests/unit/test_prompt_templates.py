"""Rows to prompts: what a template may do, and what makes a row a bad one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.prompting.template import PromptError, inline, load_template


def asked(template: str, **values: Any) -> str:
    return inline(template).prompt(values).user


def test_a_cell_stands_where_its_column_is_named() -> None:
    assert asked("Translate: {{ text }} ({{ row['Unit price'] }})", text="Hallo", **{"Unit price": 3}) == "Translate: Hallo (3)"


def test_what_is_in_a_cell_is_never_read_as_a_template() -> None:
    assert asked("{{ text }}", text="{{ 7 * 7 }}{% raise %}<b>&") == "{{ 7 * 7 }}{% raise %}<b>&"


@pytest.mark.parametrize("cell", [None, "", "  \n"])
def test_a_cell_the_template_uses_may_not_be_empty(cell: Any) -> None:
    with pytest.raises(PromptError, match="'text' is empty"):
        asked("Translate: {{ text }}", text=cell)


@pytest.mark.parametrize("cell", [0, False, 0.0])
def test_zero_is_not_empty(cell: Any) -> None:
    assert asked("{{ n }}", n=cell) == str(cell)


@pytest.mark.parametrize(
    "template",
    [
        "{{ text }}{% if notes %} ({{ notes }}){% endif %}",
        "{{ text }}{{ ' (' ~ notes ~ ')' if notes else '' }}",
        "{{ text }}{{ notes | default('', true) }}",
        "{{ text }}{% if notes is not none and notes %}{{ notes }}{% endif %}",
    ],
)
@pytest.mark.parametrize("cell", [None, ""])
def test_a_column_the_template_asks_about_first_may_be_empty(template: str, cell: Any) -> None:
    assert asked(template, text="a", notes=cell) == "a"


def test_a_column_that_is_not_there_is_an_error_and_never_an_empty_text() -> None:
    with pytest.raises(PromptError, match="there is no column 'txt'"):
        asked("Translate: {{ txt }}", text="a")
    with pytest.raises(PromptError, match="no attribute 'x'"):
        asked("{{ row.x }}", text="a")


@pytest.mark.parametrize(
    "template", ["{{ 1 / n }}", "{{ text.nothing }}", "{{ text | int + 'a' }}", "{% for i in n %}{% endfor %}"]
)
def test_whatever_a_template_fails_with_is_a_sentence_about_the_row(template: str) -> None:
    with pytest.raises(PromptError, match="the prompt: "):
        asked(template, n=0, text="a")


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ (text | attr('__class__')).__mro__ }}",
        "{{ '{0.__class__.__mro__}'.format(text) }}",
        "{{ row.update({'text': 'b'}) }}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(template: str) -> None:
    with pytest.raises(PromptError):
        asked(template, text="a")


def test_a_prompt_of_nothing_is_refused() -> None:
    with pytest.raises(PromptError, match="nothing came of it"):
        asked("{% if notes %}{{ notes }}{% endif %}", notes="")


def test_json_is_written_as_prompts_want_it() -> None:
    assert asked("{{ row | tojson }}", a="<ü&'>") == '{"a":"<ü&\'>"}'


@pytest.mark.parametrize("template", ["{{ text", "{% if %}", "{{ text | nofilter }}"])
def test_a_template_that_cannot_be_read_is_bad_usage(template: str) -> None:
    with pytest.raises(JobError, match="the prompt, line 1") as refused:
        inline(template)
    assert refused.value.exit_code is ExitCode.USAGE


def test_a_folder_holds_system_user_and_examples(tmp_path: Path) -> None:
    (tmp_path / "user.j2").write_text("{% include 'shared.j2' %}Label: {{ text }}\n")
    (tmp_path / "shared.j2").write_text("Be brief. ")
    (tmp_path / "system.txt").write_text("You label {{ lang }} texts.")
    (tmp_path / "examples.jsonl").write_text(
        '{"user": "fine", "assistant": {"label": "good"}}\n\n{"messages": [{"role": "user", "content": "bad"}]}\n'
    )
    template = load_template(tmp_path)
    made = template.prompt({"text": "x", "lang": "en"})
    assert (made.user, made.system) == ("Be brief. Label: x", "You label en texts.")
    assert [one["content"] for one in template.examples] == ["fine", '{"label":"good"}', "bad"]
    assert template.used == {"text", "lang"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no user.j2"),
        ({"user.j2": "a", "user.txt": "b"}, "both user.j2 and user.txt"),
        ({"user.j2": "a", "examples.jsonl": '{"user": "a"}'}, "examples.jsonl, line 1"),
        ({"user.j2": "a", "examples.jsonl": "nonsense"}, "examples.jsonl, line 1"),
    ],
)
def test_a_folder_that_is_no_template_says_why(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(JobError, match=message):
        load_template(tmp_path)
