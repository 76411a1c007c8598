"""Rows to job lines: ids, sweeps, repetitions, samples, images; every bad row told by its number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.errors import JobError
from batchllm.prompting.building import Built, Choice, build
from batchllm.prompting.lines import Recipe
from batchllm.prompting.sample import sample
from batchllm.prompting.template import inline
from batchllm.prompting.variants import assignments, variants
from batchllm.sources.request_line import RequestLine
from batchllm.sources.tables import BadRow, Row, Table
from batchllm.types import Request


def made(
    rows: list[dict[str, Any]], recipe: Recipe | None = None, choice: Choice | None = None
) -> tuple[list[dict[str, Any]], Built]:
    lines: list[bytes] = []
    table = Table(None, iter([Row(number, values) for number, values in enumerate(rows, 1)]))
    built = build(table, recipe or Recipe(inline("Say {{ text }}")), choice or Choice(), lines.append)
    return [json.loads(line) for line in lines], built


def texts(count: int) -> list[dict[str, Any]]:
    return [{"text": f"t{number}"} for number in range(1, count + 1)]


def test_a_line_knows_its_row() -> None:
    lines, _ = made(texts(2))
    assert lines[1] == {"custom_id": "row-2", "prompt": "Say t2", "metadata": {"row": 2}}


def test_bad_rows_are_told_by_number_and_do_not_stop_good_ones() -> None:
    lines, built = made([{"text": "a"}, {"text": ""}, {"txt": "b"}, {"text": "c\ud800"}, {"text": "d"}])
    assert [line["metadata"]["row"] for line in lines] == [1, 5]
    assert [(bad.number, bad.message) for bad in built.bad] == [
        (2, "'text' is empty"), (3, "there is no column 'text'"), (4, "it has text that is not valid UTF-8"),
    ]  # fmt: skip
    assert (built.rows, built.lines, built.bad_rows) == (5, 2, 3)


def test_ids_of_a_column_are_texts_and_stand_once() -> None:
    rows = [{"id": 17.0, "text": "a"}, {"id": "x", "text": "b"}, {"id": 17, "text": "c"}, {"id": None, "text": "d"}]
    lines, built = made(rows, Recipe(inline("{{ text }}"), id_column="id"))
    assert [line["custom_id"] for line in lines] == ["17", "x"]
    assert [(bad.number, bad.message) for bad in built.bad] == [(3, "'id' is '17' again, as in row 1"), (4, "'id' is empty")]


def test_a_row_that_was_bad_does_not_take_its_id_from_a_good_one() -> None:
    lines, _ = made([{"id": "a", "text": ""}, {"id": "a", "text": "b"}], Recipe(inline("{{ text }}"), id_column="id"))
    assert [line["metadata"]["row"] for line in lines] == [2]


def test_a_sweep_makes_a_line_for_each_combination_and_ids_say_which() -> None:
    recipe = Recipe(inline("{{ text }}"), variants(["temperature=0.1,1", "model=a,b"], 2), {"max_tokens": 9})
    lines, _ = made(texts(1), recipe)
    assert [line["custom_id"] for line in lines[:4]] == [
        "row-1/temperature=0.1/model=a/repeat=1", "row-1/temperature=0.1/model=a/repeat=2",
        "row-1/temperature=0.1/model=b/repeat=1", "row-1/temperature=0.1/model=b/repeat=2",
    ]  # fmt: skip
    assert len({line["custom_id"] for line in lines}) == len(lines) == 8
    assert (lines[7]["temperature"], lines[7]["model"], lines[7]["max_tokens"]) == (1, "b", 9)
    assert lines[7]["metadata"] == {"row": 1, "temperature": 1, "model": "b", "repeat": 2}


@pytest.mark.parametrize("sweep", ["temperature", "=1", "temperature=", "model=a,a", "prompt=a,b"])
def test_a_sweep_that_makes_no_sense_is_refused(sweep: str) -> None:
    with pytest.raises(JobError):
        variants([sweep], 1)


def test_the_same_field_is_not_swept_twice() -> None:
    with pytest.raises(JobError, match="'model' is swept twice"):
        variants(["model=a", "model=b"], 1)


def test_values_are_json_where_they_are_json() -> None:
    found = assignments(["max_tokens=100", 'stop=["x"]', "model=gpt-4o", "user=a=b", "n=NaN"])
    assert found == {"max_tokens": 100, "stop": ["x"], "model": "gpt-4o", "user": "a=b", "n": "NaN"}


def test_images_stand_beside_the_prompt() -> None:
    recipe = Recipe(inline("What is it?"), images=("image",))
    png = "iVBORw0KGgoAAAA="
    cells: list[Any] = [
        "scans/1.png",
        ["a.png", "https://x.example/b.png"],
        {"bytes": png, "path": "1.png"},
        "",
        {"bytes": "AAAA"},
    ]
    lines, built = made([{"image": cell} for cell in cells], recipe)
    urls = [[part["image_url"]["url"] for part in line["messages"][0]["content"][1:]] for line in lines]
    assert urls == [["scans/1.png"], ["a.png", "https://x.example/b.png"], [f"data:image/png;base64,{png}"]]
    assert [bad.number for bad in built.bad] == [4, 5]


def test_every_line_is_one_that_a_run_can_send() -> None:
    reader = RequestLine({"model": "m"}, "/v1/chat/completions")
    for recipe in (
        Recipe(inline("{{ text }}", "Be {{ text }}"), kept=("text",)),
        Recipe(inline("{{ text }}"), images=("image",)),
    ):
        lines, _ = made([{"text": "a", "image": "https://x.example/a.png"}], recipe)
        assert isinstance(reader.read(1, json.dumps(lines[0]).encode()), Request)


def test_columns_the_whole_table_lacks_are_refused_with_the_nearest() -> None:
    table = Table(("text", "id"), iter([]))
    with pytest.raises(JobError, match="no column 'txt'; the nearest is 'text'"):
        build(table, Recipe(inline("{{ txt }}")), Choice(), lambda line: None)


def test_rows_are_read_no_further_than_wanted() -> None:
    read: list[int] = []

    def rows() -> Iterator[Row | BadRow]:
        for number in range(1, 1_000_000):
            read.append(number)
            yield Row(number, {"text": "a"})

    built = build(Table(None, rows()), Recipe(inline("{{ text }}")), Choice(limit=3), lambda line: None)
    assert (built.lines, len(read)) == (3, 3)


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 5))
def test_a_sample_keeps_the_order_and_its_size(length: int, size: int, seed: int) -> None:
    found = list(sample(range(length), size, seed))
    assert found == sorted(set(found)) == list(sample(range(length), size, seed))
    assert len(found) == min(size, length)


def test_every_row_is_as_likely_in_a_sample() -> None:
    counts = [0] * 10
    for seed in range(4000):
        for one in sample(range(10), 3, seed):
            counts[one] += 1
    assert all(abs(count - 1200) < 130 for count in counts)  # four and a half standard deviations
