"""Whatever schema is asked for, the instance is valid for it: judged by jsonschema-rs, which is not ours."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, conlist

from batchllm.simulator.numerals import integer, number
from batchllm.simulator.patterns import matching
from batchllm.simulator.schema_instance import instance
from batchllm.simulator.schema_shape import Heights, merged, resolve
from batchllm.simulator.strings import FORMATS

WORDS = ["Tarn", "Thistle", "Joinery", "billed", "Larkfield", "Primary", "School", "six", "oak", "shelves"]


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Address(BaseModel):
    model_config = ConfigDict(extra="forbid")
    street: str = Field(min_length=3, max_length=12)
    code: str = Field(pattern=r"^\d{5}(-\d{4})?$")
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: set[str] = Field(min_length=2, max_length=4)


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    born: date
    seen: datetime
    wakes: time
    nap: timedelta
    site: AnyUrl
    id: UUID
    home: Address
    others: list[Address] = Field(min_length=1, max_length=3)
    colour: Colour
    level: Level
    colours: set[Colour] = Field(min_length=2)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    score: float = Field(gt=0, lt=1)
    share: float = Field(ge=-2.5, le=-2.4)
    even: int = Field(multiple_of=4, gt=10, lt=30)
    price: Decimal = Field(max_digits=6, decimal_places=2, ge=0)
    nick: str | None = None
    tags: dict[str, int] = Field(min_length=2)
    pair: tuple[int, str]
    bounded: Annotated[list[int], Field(min_length=2, max_length=2)]
    anything: Any = None
    four: IPv4Address
    six: IPv6Address
    yes: bool
    number: int | float | str


class Node(BaseModel):
    value: int
    children: list["Node"] = []
    left: "Node | None" = None


class Chain(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    next: "Chain | None"


class Branching(BaseModel):
    inner: "list[Branching] | Branching | str"
    least: conlist(Chain, min_length=1)  # type: ignore[valid-type]


@pytest.mark.parametrize("model", [Person, Node, Chain, Branching, Address], ids=lambda model: model.__name__)
def test_an_instance_is_valid_for_a_pydantic_model_and_its_schema(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    judge = jsonschema_rs.validator_for(schema, validate_formats=True)
    for seed in range(150):
        made = instance(schema, Random(seed), WORDS)
        judge.validate(made)
        model.model_validate(made)


def test_the_same_seed_gives_the_same_instance() -> None:
    schema = Person.model_json_schema()
    assert instance(schema, Random(5), WORDS) == instance(schema, Random(5), WORDS)
    assert instance(schema, Random(5), WORDS) != instance(schema, Random(6), WORDS)


def test_free_strings_are_words_of_the_prompt() -> None:
    made = instance({"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]}, Random(1), WORDS)
    assert set(made["who"].split()) <= set(WORDS)


SCHEMAS: dict[str, Any] = {
    "allOf with a reference": {
        "$defs": {"named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
        "allOf": [
            {"$ref": "#/$defs/named"},
            {"properties": {"age": {"type": "integer"}}, "required": ["age"]},
        ],
    },
    "reference with siblings": {
        "$defs": {"text": {"type": "string", "minLength": 2}},
        "$ref": "#/$defs/text",
        "maxLength": 3,
    },
    "escaped reference": {
        "$defs": {"a/b~c": {"const": 7}},
        "properties": {"x": {"$ref": "#/$defs/a~1b~0c"}},
        "required": ["x"],
    },
    "the whole schema again": {
        "type": "object",
        "properties": {"again": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["again"],
        "additionalProperties": False,
    },
    "list of types": {"type": ["string", "null"]},
    "enum with null": {"enum": ["a", None, 3]},
    "anyOf beside properties": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "anyOf": [{"properties": {"b": {"const": 1}}, "required": ["b"]}],
    },
    "map of numbers": {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 3},
    "pattern properties": {
        "type": "object",
        "patternProperties": {"^x_[a-z]{3}$": {"type": "integer"}},
        "additionalProperties": False,
        "minProperties": 2,
    },
    "property names": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]{4}$"},
        "minProperties": 2,
        "additionalProperties": {"type": "boolean"},
    },
    "tuple": {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False},
    "tuple, draft 7": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "array",
        "items": [{"const": 1}, {"type": "string"}],
        "additionalItems": False,
    },
    "contains": {
        "type": "array",
        "items": {"type": "integer", "minimum": 0, "maximum": 9},
        "contains": {"const": 5},
        "minItems": 3,
    },
    "unique of few": {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
    "exclusive of draft 4": {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "integer",
        "minimum": 3,
        "exclusiveMinimum": True,
        "maximum": 4,
    },
    "tenths": {"type": "number", "multipleOf": 0.1, "minimum": 0.5, "maximum": 0.7},
    "narrow": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-9},
    "no keyword": {},
    "true": True,
    "nothing but required": {"required": ["a", "b"]},
    "empty list": {"type": "array", "maxItems": 0},
    "fixed length": {"type": "string", "minLength": 40, "maxLength": 40},
    "pattern and length": {"type": "string", "pattern": "^[a-z]+$", "minLength": 20, "maxLength": 25},
    "at most one key": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "required": ["b"],
        "maxProperties": 1,
    },
    "two keys of three": {
        "type": "object",
        "minProperties": 2,
        "additionalProperties": False,
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}},
    },
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_an_instance_is_valid_for_the_schema(schema: Any) -> None:
    judge = jsonschema_rs.validator_for(schema, validate_formats=True)
    for seed in range(60):
        judge.validate(instance(schema, Random(seed), WORDS))


def _leaves() -> st.SearchStrategy[dict[str, Any]]:
    sizes = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)
    bounds = st.tuples(st.integers(-50, 50), st.integers(1, 60)).map(lambda pair: (pair[0], sum(pair)))
    return st.one_of(
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": {"a": [1]}}, {"enum": ["x", 2, None]}]),
        st.sampled_from(["date", "date-time", "time", "email", "uri", "uuid", "ipv4", "duration", "hostname"]).map(
            lambda name: {"type": "string", "format": name}
        ),
        sizes.map(lambda size: {"type": "string", "minLength": size[0], "maxLength": size[1]}),
        bounds.map(lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[1]}),
        bounds.map(lambda pair: {"type": "number", "exclusiveMinimum": pair[0], "exclusiveMaximum": pair[1]}),
        st.integers(1, 9).map(lambda step: {"type": "integer", "multipleOf": step}),
        st.sampled_from([r"^[A-Z]{2}\d{3}$", r"^(foo|bar)-[^abc]+$", r"^\w+@\w+\.com$"]).map(
            lambda pattern: {"type": "string", "pattern": pattern}
        ),
    )


def _grown(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["a", "b", "c", "d"])
    objects = st.tuples(st.dictionaries(names, inner, max_size=4), st.booleans()).map(
        lambda made: {
            "type": "object",
            "properties": made[0],
            "required": sorted(made[0]) if made[1] else [],
            "additionalProperties": False,
        }
    )
    arrays = st.tuples(inner, st.integers(0, 3), st.integers(0, 3)).map(
        lambda made: {"type": "array", "items": made[0], "minItems": made[1], "maxItems": made[1] + made[2]}
    )
    return st.one_of(objects, arrays, st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some}))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.recursive(_leaves(), _grown, max_leaves=12), st.integers(0, 2**32))
def test_an_instance_is_valid_for_any_schema_built_of_these_parts(schema: dict[str, Any], seed: int) -> None:
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(instance(schema, Random(seed), WORDS))


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{3}$",
        r"^\d{4}-\d{2}$",
        r"[0-9a-f]{8}",
        r"^(?:red|green|blue)$",
        r"^[^\s@]+@[^\s@]+$",
        r"^(a|b)\1$",
        r"^\+?[1-9]\d{6,14}$",
        r"^.{5}$",
        r"^[\w.-]+$",
        r"^x*$",
        r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$",
        r"\bword\b",
        r"^\D\W$",
    ],
)
def test_a_string_matches_its_pattern(pattern: str) -> None:
    for seed in range(40):
        drawn = matching(pattern, Random(seed))
        assert drawn is not None
        assert re.search(pattern, drawn)


def test_a_pattern_that_cannot_be_drawn_is_none_and_not_an_error() -> None:
    assert matching("(", Random(1)) is None
    assert matching(r"^\p{L}+$", Random(1)) is None
    assert matching("^a$", Random(1), shortest=5) is None


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_draws_something(name: str) -> None:
    assert FORMATS[name](Random(3))


def test_numbers_keep_to_their_bounds() -> None:
    assert integer({"minimum": 7, "maximum": 7}, Random(1)) == 7
    assert integer({"exclusiveMinimum": 7, "exclusiveMaximum": 9}, Random(1)) == 8
    assert integer({"maximum": -1000}, Random(1)) <= -1000
    assert number({"minimum": 1e20, "maximum": 1e20}, Random(1)) == 1e20
    assert 0 < number({"exclusiveMinimum": 0, "exclusiveMaximum": 0.001}, Random(1)) < 0.001


def test_references_that_lead_nowhere_allow_anything() -> None:
    assert resolve({"$defs": {}}, "#/$defs/missing") == {}
    assert isinstance(instance({"$ref": "https://elsewhere.example/schema"}, Random(1)), str)


def test_a_reference_to_itself_ends() -> None:
    assert instance({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, Random(1)) is not None


def test_bounds_of_merged_schemas_are_the_narrower_ones() -> None:
    both = merged({"minimum": 1, "maximum": 9, "enum": [1, 2, 3]}, {"minimum": 3, "maximum": 7, "enum": [3, 4]})
    assert (both["minimum"], both["maximum"], both["enum"]) == (3, 7, [3])


def test_the_height_of_a_schema_without_end_is_infinite() -> None:
    endless = {"$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}}}
    assert Heights(endless).of({"$ref": "#/$defs/a"}) == float("inf")
    assert Heights(Chain.model_json_schema()).of(Chain.model_json_schema()) == 1
