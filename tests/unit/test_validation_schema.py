import asyncio
import contextlib
import enum
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import jsonschema_rs
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from batchllm import strictjson
from batchllm.validation import Problem, from_json_schema, from_model, from_response_format, schema


class Colour(enum.Enum):
    RED = "red"


class Item(BaseModel):
    quantity: int = Field(ge=1)


class Order(BaseModel):
    number: str = Field(alias="no")
    day: date
    colour: Colour = Field(default=Colour.RED, description="of the paint")
    note: str | None = None
    items: list[Item] = []


class Tree(BaseModel):
    left: "Tree | None" = None
    right: "Tree" = Field(description="the other side")


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Pet(BaseModel):
    default: Cat | Dog = Field(discriminator="kind")  # a property called like a keyword


def raising(error: BaseException) -> type[BaseModel]:
    class Bad(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def fail(cls, value: int) -> int:
            raise error

    return Bad


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


def strict_of(properties: dict[str, Any]) -> dict[str, Any]:
    return of(properties, required=list(properties), additionalProperties=False)


class TestModel:
    def test_parsed_is_json_under_the_names_asked_for(self):
        parsed, problems = from_model(Order).validate({"no": "7", "day": "2024-02-29", "items": [{"quantity": 2}], "extra": 1})
        assert problems == []
        assert parsed == {
            "no": "7",
            "day": "2024-02-29",
            "colour": "red",
            "note": None,
            "items": [{"quantity": 2}],
        }

    def test_problems_have_dotted_paths(self):
        parsed, problems = from_model(Order).validate({"no": "7", "day": "tomorrow", "items": [{"quantity": 0}]})
        assert parsed is None
        assert [problem.path for problem in problems] == ["day", "items.0.quantity"]
        assert problems[1].message == "Input should be greater than or equal to 1"

    def test_a_model_in_strict_mode_reads_what_json_can_say(self):
        class Strict(BaseModel):
            model_config = ConfigDict(strict=True)
            day: date
            pair: tuple[int, str]
            tags: set[str]
            colour: Colour
            amount: Decimal

        value = {"day": "2024-01-01", "pair": [1, "a"], "tags": ["x"], "colour": "red", "amount": "1.50"}
        assert from_model(Strict).validate(value) == (value, [])

    def test_what_is_sent_is_strict(self):
        sent = from_model(Order)
        assert sent.strict
        assert sent.json_schema["required"] == ["no", "day", "colour", "note", "items"]
        assert sent.json_schema["additionalProperties"] is False
        assert b'"default"' not in strictjson.dumps(sent.json_schema)
        assert "$ref" not in sent.json_schema["properties"]["colour"]

    def test_alternatives_are_any_of_and_a_property_may_be_called_default(self):
        sent = from_model(Pet)
        assert sent.strict
        assert set(sent.json_schema["properties"]["default"]) == {"anyOf", "title"}
        assert sent.validate({"default": {"kind": "dog"}}) == ({"default": {"kind": "dog"}}, [])

    def test_a_recursive_model_with_a_described_reference_is_sent_without_strict_mode(self):
        assert not from_model(Tree).strict

    def test_open_maps_and_roots_that_are_no_objects_are_not_strict(self):
        class Open(BaseModel):
            counts: dict[str, int]

        assert not from_model(Open).strict
        assert not from_model(RootModel[list[int]]).strict

    def test_the_name_is_one_that_endpoints_take(self):
        assert from_model(RootModel[list[int]]).name == "RootModel_list_int__"

    def test_a_model_without_a_json_schema_is_refused_in_a_sentence(self):
        class Odd(BaseModel):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            thing: jsonschema_rs.Registry

        with pytest.raises(ValueError, match="the model Odd has no JSON schema"):
            from_model(Odd)

    @pytest.mark.parametrize(
        "error",
        [KeyError("k"), ZeroDivisionError(), RecursionError("deep"), SystemExit(3), RuntimeError("x\ny")],
    )
    def test_whatever_a_validator_raises_is_a_problem(self, error):
        parsed, problems = from_model(raising(error)).validate({"x": 1})
        assert parsed is None
        assert problems[0].path == ""
        assert problems[0].message.startswith(f"the validator failed: {type(error).__name__}")
        assert "\n" not in problems[0].message

    def test_a_panic_of_compiled_code_is_a_problem(self):
        panic = type("PanicException", (BaseException,), {})
        assert from_model(raising(panic("x"))).validate({"x": 1})[1][0].message.endswith("PanicException: x")

    def test_an_exception_that_cannot_say_itself_is_a_problem(self):
        class MuteError(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        assert from_model(raising(MuteError())).validate({"x": 1})[1] == [Problem("", "the validator failed: MuteError")]

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()])
    def test_what_stops_the_task_passes(self, error):
        with pytest.raises(type(error)):
            from_model(raising(error)).validate({"x": 1})

    def test_a_validator_that_never_returns_is_a_problem(self, monkeypatch):
        monkeypatch.setattr(schema, "TIME_LIMIT_S", 0.05)

        def spin(item: Item) -> None:
            while True:
                with contextlib.suppress(Exception):
                    pass

        _, problems = from_model(Item, spin).validate({"quantity": 1})
        assert problems == [Problem("", "the validator did not finish within 0.05 s")]

    def test_a_rule_raises_or_returns_what_is_wrong(self):
        def odd(item: Item) -> str | None:
            if item.quantity == 1:
                raise ValueError("one is none")
            return "even" if item.quantity % 2 == 0 else None

        held = from_model(Item, odd)
        assert held.validate({"quantity": 1})[1] == [Problem("", "one is none")]
        assert held.validate({"quantity": 2})[1] == [Problem("", "even")]
        assert held.validate({"quantity": 3}) == ({"quantity": 3}, [])

    def test_a_lone_surrogate_is_a_problem_and_no_crash(self):
        assert from_model(Order).validate({"no": "\ud800", "day": "2024-01-01"})[1]


class TestDocument:
    def test_a_value_that_fits_is_returned_as_it_is(self):
        value = {"a": 1.0, "b": 10**30}
        assert from_json_schema(of({"a": {"type": "number"}}), "x").validate(value) == (value, [])

    def test_problems_have_dotted_paths(self):
        held = from_json_schema(of({"a": {"items": of({"q": {"type": "integer"}}, required=["q"])}}), "x")
        _, problems = held.validate({"a": [{"q": 1}, {"q": "x"}, {}]})
        assert [problem.path for problem in problems] == ["a.1.q", "a.2"]

    def test_formats_count(self):
        held = from_json_schema(of({"day": {"type": "string", "format": "date"}}), "x")
        assert held.validate({"day": "2024-02-29"})[1] == []
        assert held.validate({"day": "2023-02-29"})[1] == [Problem("day", '"2023-02-29" is not a "date"')]

    def test_a_catastrophic_pattern_is_linear(self):
        held = from_json_schema({"type": "string", "pattern": "^(a+)+$"}, "x")
        assert held.validate("a" * 100_000 + "!")[1]

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ({"$ref": "http://127.0.0.1:1/x.json"}, "the reference 'http://127.0.0.1:1/x.json' leads out"),
            (
                of({"a": {"items": {"$ref": "file:///etc/passwd"}}}),
                "the reference 'file:///etc/passwd' leads out",
            ),
            ({"anyOf": [{"$dynamicRef": "other.json"}]}, "the reference 'other.json' leads out"),
            ({"$ref": "#/$defs/none"}, "not a valid JSON schema: .*none"),
            ({"$schema": "http://127.0.0.1:1/meta"}, "not a valid JSON schema: .*127.0.0.1:1/meta"),
            ({"type": "objekt"}, 'not a valid JSON schema: "objekt"'),
            ({"pattern": "("}, 'not a valid JSON schema: .*is not a "regex"'),
            ([], "a JSON schema is an object, not list"),
        ],
    )
    def test_an_unusable_schema_is_refused_in_a_sentence(self, document, message):
        with pytest.raises(ValueError, match=message):
            from_json_schema(document, "x")

    def test_a_reference_in_an_example_is_no_reference(self):
        from_json_schema({"enum": [{"$ref": "http://127.0.0.1:1/"}], "default": {"$ref": "x"}}, "x")

    def test_a_schema_that_explodes_is_refused(self):
        def twice(number: int) -> dict[str, Any]:
            return {"anyOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 2}

        definitions = {f"d{number}": twice(number) for number in range(40)} | {"d40": {"type": "integer"}}
        with pytest.raises(ValueError, match="over 100,000 parts"):
            from_json_schema({"$defs": definitions, "$ref": "#/$defs/d0"}, "x")

    def test_a_bottomless_schema_is_refused(self):
        document: dict[str, Any] = {}
        for _ in range(5000):
            document = {"items": document}
        with pytest.raises(ValueError, match="nested too deep"):
            from_json_schema(document, "x")

    def test_recursion_is_fine(self):
        tree = {"type": "object", "properties": {"kids": {"items": {"$ref": "#"}}}, "required": ["kids"]}
        assert from_json_schema(tree, "x").validate({"kids": [{"kids": []}, {}]})[1][0].path == "kids.1"

    def test_a_lone_surrogate_counts_as_a_character_and_stays(self):
        held = from_json_schema(of({"a": {"type": "string", "maxLength": 1}}), "x")
        assert held.validate({"a": "\ud800"}) == ({"a": "\ud800"}, [])
        assert held.validate({"a": "\ud800b"})[1][0].path == "a"

    @pytest.mark.parametrize(
        ("document", "strict"),
        [
            (strict_of({"a": {"type": "string"}}), True),
            (strict_of({"a": strict_of({"b": {"anyOf": [{"type": "null"}, {"type": "integer"}]}})}), True),
            (strict_of({"a": {"$ref": "#/$defs/a"}}) | {"$defs": {"a": strict_of({})}}, True),
            (strict_of({"a": {"type": "string", "format": "uuid", "pattern": "x", "minLength": 1}}), True),
            (strict_of({"default": {"type": "string"}}), True),
            (of({"a": {"type": "string"}}, required=["a"]), False),
            (of({"a": {"type": "string"}}, additionalProperties=False), False),
            (strict_of({"a": of({"b": {}})}), False),
            (strict_of({"a": {"type": "object"}}), False),
            (strict_of({"a": {"type": "string", "default": "x"}}), False),
            (strict_of({"a": {"type": "string", "format": "uri"}}), False),
            (strict_of({"a": {"oneOf": [{"type": "string"}]}}), False),
            (strict_of({"a": {"$ref": "#/$defs/a", "description": "x"}}) | {"$defs": {"a": {}}}, False),
            ({"type": "array", "items": {"type": "string"}}, False),
            ({"anyOf": [strict_of({})]}, False),
        ],
    )
    def test_strict_says_whether_strict_mode_takes_it(self, document, strict):
        held = from_json_schema(document, "x")
        assert held.strict is strict
        assert held.json_schema is document


class TestResponseFormat:
    def test_the_schema_a_request_carries_is_made_once(self):
        chat = {
            "type": "json_schema",
            "json_schema": {"name": "my answer", "schema": of({"a": {"type": "integer"}})},
        }
        responses = {"type": "json_schema", "name": "my answer", "schema": of({"a": {"type": "integer"}})}
        held = from_response_format(chat)
        assert held is not None
        assert held.name == "my_answer"
        assert held.validate({"a": "x"})[1][0].path == "a"
        assert from_response_format(responses) is held

    @pytest.mark.parametrize("other", [None, "text", {"type": "text"}, {"type": "json_object"}, []])
    def test_other_formats_have_none(self, other):
        assert from_response_format(other) is None

    @pytest.mark.parametrize("inner", [None, {}, {"schema": []}, {"schema": {"type": "objekt"}}])
    def test_an_invalid_one_is_refused(self, inner):
        with pytest.raises(ValueError, match="schema"):
            from_response_format({"type": "json_schema", "json_schema": inner})
