"""What columns a field becomes, from its schema or from its values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.export.cells import Cells, StrayError
from batchllm.export.shape import Column, Kind, Shape, columns, joined, merged, of_schema
from batchllm.strictjson import loads

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


def seen(*values: Any) -> Shape:
    shape = Shape()
    for value in values:
        shape.see(value)
    return shape


def names(shape: Shape) -> dict[str, Kind]:
    return {column.name: column.kind for column in columns(shape, "parsed")}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, Kind.TEXT),
        ({"type": "integer"}, Kind.INT),
        ({"type": "number"}, Kind.FLOAT),
        ({"type": "boolean"}, Kind.BOOL),
        ({"type": "array", "items": {"type": "string"}}, Kind.JSON),
        ({"type": ["integer", "null"]}, Kind.INT),
        ({"type": ["integer", "string"]}, Kind.TEXT),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, Kind.FLOAT),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, Kind.FLOAT),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, Kind.JSON),
        ({"enum": ["a", "b", None]}, Kind.TEXT),
        ({"const": 3}, Kind.INT),
        ({"type": "object", "additionalProperties": {"type": "string"}}, Kind.JSON),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer"}}}, Kind.INT),
        ({}, Kind.TEXT),
    ],
)
def test_a_schema_says_what_a_column_holds(schema: dict[str, Any], kind: Kind) -> None:
    whole = {"type": "object", "properties": {"x": schema}, **{key: schema[key] for key in ("$defs",) if key in schema}}
    assert names(of_schema(whole)) == {"parsed.x": kind}


def test_objects_become_dotted_columns_in_the_order_of_the_schema() -> None:
    party = {"type": "object", "properties": {"name": {"type": "string"}, "city": {"type": "string"}}}
    schema = {
        "type": "object", "$defs": {"Party": party},
        "properties": {"z": {"type": "integer"}, "to": {"anyOf": [{"$ref": "#/$defs/Party"}, {"type": "null"}]}},
    }  # fmt: skip
    assert list(names(of_schema(schema))) == ["parsed.z", "parsed.to.name", "parsed.to.city"]


def test_a_schema_that_holds_itself_comes_to_an_end() -> None:
    tree = {"type": "object", "properties": {"value": {"type": "integer"}, "left": {"$ref": "#/$defs/Tree"}}}
    found = names(of_schema({"$ref": "#/$defs/Tree", "$defs": {"Tree": tree}}))
    assert found["parsed.left.value"] is Kind.INT
    assert Kind.JSON in found.values()
    assert of_schema({"$ref": "#"}).kind is Kind.NOTHING


def test_values_widen_a_column_and_never_narrow_it() -> None:
    assert seen(1, None, 2.5).kind is Kind.FLOAT
    assert seen("a", 1).kind is Kind.TEXT
    assert seen({"a": 1}, [1]).kind is Kind.JSON
    assert seen(1 << 63).kind is Kind.TEXT
    assert names(seen({"a": 1}, {"b": None})) == {"parsed.a": Kind.INT, "parsed.b": Kind.TEXT}


def test_an_object_with_very_many_names_is_a_mapping() -> None:
    assert seen(*({f"key-{number}": 1} for number in range(300))).kind is Kind.JSON


@given(st.sampled_from(Kind), st.sampled_from(Kind), st.sampled_from(Kind))
def test_kinds_join_in_any_order(a: Kind, b: Kind, c: Kind) -> None:
    assert joined(a, b) == joined(b, a)
    assert joined(a, a) == a
    if Kind.OBJECT not in (a, b, c):
        assert joined(joined(a, b), c) == joined(a, joined(b, c))


@given(st.lists(json_values, min_size=1, max_size=6))
def test_every_value_that_was_seen_fits_its_columns(values: list[Any]) -> None:
    shape = seen(*values)
    cells, expected = Cells(shape), list(columns(shape, "x"))
    for value in values:
        row: list[Any] = []
        cells.fill(value, row)
        assert len(row) == cells.width == len(expected)
        for cell, column in zip(row, expected, strict=True):
            assert cell is None or isinstance(cell, _python(column))


def _python(column: Column) -> type:
    return {Kind.BOOL: bool, Kind.INT: int, Kind.FLOAT: float}.get(column.kind, str)


@given(st.lists(json_values, max_size=4), st.lists(json_values, max_size=4))
def test_merged_shapes_hold_what_either_holds(some: list[Any], others: list[Any]) -> None:
    cells = Cells(merged(seen(*some), seen(*others)))
    for value in some + others:
        cells.fill(value, [])


@given(json_values, json_values)
def test_a_value_that_does_not_fit_is_never_lost_in_silence(known: Any, other: Any) -> None:
    """It raises, or what it says can be read back from the cells."""
    shape = seen(known)
    row: list[Any] = []
    try:
        Cells(shape).fill(other, row)
    except StrayError:
        return
    if shape.kind is Kind.JSON:
        assert row == [None] if other is None else loads(row[0].encode()) is not None or other is None
    if type(other) is dict and shape.kind is Kind.OBJECT:
        assert other.keys() <= shape.fields.keys()


@pytest.mark.parametrize("value", [{"b": 1}, {"a": 1, "b": 2}, [1], "text", {"a": "text"}, {"a": True}, {"a": 1 << 63}])
def test_what_a_shape_does_not_know_is_a_stray(value: Any) -> None:
    with pytest.raises(StrayError):
        Cells(seen({"a": 1})).fill(value, [])
