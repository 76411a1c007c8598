"""Schemas of pydantic models: `openai` says what is sent, pydantic what comes of the answer.

`parsed` is what the model dumps as JSON, under the names the model was asked for (aliases).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from batchllm import strictjson
from batchllm.types import Json
from batchllm.validation import dialect, schema
from batchllm.validation.schema import MAX_PROBLEMS, Problem, Schema, describe, legal_name
from batchllm.validation.timebox import time_limit

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Rule = Callable[[Any], object]


def from_model(model: type[BaseModel], rule: Rule | None = None) -> Schema:
    """The schema of a pydantic model. Raises `ValueError`, in a sentence, if JSON Schema cannot express it.

    `rule` sees the finished object; what it raises or returns as a string is a problem of the whole.
    """
    from pydantic import ValidationError

    def check(value: Any) -> tuple[Any, list[Problem]]:
        with time_limit(schema.TIME_LIMIT_S):
            try:
                # From JSON, not from objects: only there does pydantic's strict mode take dates and sets.
                instance = model.model_validate_json(strictjson.dumps(value))
            except ValidationError as error:
                return None, _problems(error)
            if rule is not None and (problem := _objection(rule, instance)):
                return None, [Problem.at((), problem)]
            return instance.model_dump(mode="json", by_alias=True, warnings=False), []

    json_schema = _json_schema(model)
    return Schema(legal_name(model.__name__), json_schema, dialect.is_strict(json_schema), check)


def _json_schema(model: type[BaseModel]) -> Json:
    import openai

    try:
        parameters = openai.pydantic_function_tool(model)["function"]["parameters"]
    except RecursionError:
        # openai writes a reference out where a description stands beside it, which never ends in a recursive
        # model. pydantic's own form goes out then, without strict mode.
        parameters = model.model_json_schema()
    except Exception as error:
        raise ValueError(f"the model {model.__name__} has no JSON schema ({describe(error)})") from error
    return dialect.tighten(dict(parameters))


def _problems(error: ValidationError) -> list[Problem]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [Problem.at(detail["loc"], detail["msg"]) for detail in details[:MAX_PROBLEMS]]


def _objection(rule: Rule, instance: BaseModel) -> str | None:
    try:
        message = rule(instance)
    except ValueError as error:
        return str(error) or "rejected"
    return message if isinstance(message, str) else None
