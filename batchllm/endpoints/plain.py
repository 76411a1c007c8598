"""Endpoints that answer in one document with a list of results: no stream, no schema, nothing to ask again.

Each is a row of facts (`Plain`); their files hold the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchllm.endpoints.chunks import Document
from batchllm.endpoints.fields import as_dict, as_text, bad, error_sentence, strings_in
from batchllm.errors import ErrorCode
from batchllm.protocols import Assembler
from batchllm.types import Answer, Json, Usage
from batchllm.usage import read_usage

# Jina-like rerankers (SiliconFlow, Cohere) count under `meta`, not `usage`.
USAGE_PLACES = (("usage",), ("meta", "tokens"), ("tokens",), ("meta", "billed_units"))


@dataclass(frozen=True, slots=True)
class Plain:
    """`needs`: groups of fields, of each of which the request has at least one. `holds`: where results may
    stand.

    `sound` says whether one result is what the endpoint promises.
    """

    path: str
    needs: tuple[tuple[str, ...], ...]
    holds: tuple[str, ...]
    sound: Callable[[Any], bool]
    needs_model: bool = True
    streams: bool = False
    usage_on_request: bool = False

    def check(self, body: Json) -> str | None:
        model = body.get("model")
        if not isinstance(model, str | None) or (self.needs_model and not (model or "").strip()):
            return 'There is no model: "model" must be a non-empty text, in the line or in the settings.'
        for names in self.needs:
            if not any(body.get(name) for name in names):
                return f'"{names[0]}" must be a non-empty text or list.'
        return None

    def read(self, body: Any) -> Answer:
        if not isinstance(body, dict):
            return bad("The reply is not a JSON object.")
        if sentence := error_sentence(body):
            return bad(sentence)
        fault = self._fault(body)
        code = ErrorCode.BAD_RESPONSE if fault else None
        model = as_text(body.get("model"))
        return Answer(usage=_usage(body), model=model, problem=code, problem_text=fault or "")

    def assembler(self, body: Json) -> Assembler:
        return Document()

    def with_schema(self, body: Json, name: str, schema: Json, mode: str) -> Json:
        return dict(body)

    def with_reask(self, body: Json, answer: Answer, complaint: str) -> Json:
        return dict(body)

    def prompt_text(self, body: Json) -> str:
        return "\n".join(text for names in self.needs for name in names for text in strings_in(body.get(name)) if text)

    def _fault(self, body: Json) -> str | None:
        results = next((body[name] for name in self.holds if body.get(name) is not None), None)
        if not isinstance(results, list) or not results:
            return f'The reply has no results in "{self.holds[0]}".'
        if not all(self.sound(result) for result in results):
            return f'The reply has results in "{self.holds[0]}" that are not what this endpoint promises.'
        return None


def _usage(body: Json) -> Usage | None:
    for place in USAGE_PLACES:
        value: Any = body
        for key in place:
            value = as_dict(value).get(key)
        if usage := read_usage(value, generates=False):
            return usage
    return None


def is_object(result: Any) -> bool:
    return isinstance(result, dict)


def has(*names: str) -> Callable[[Any], bool]:
    """A result that has one of these fields filled."""

    def sound(result: Any) -> bool:
        return any(as_dict(result).get(name) not in (None, "", []) for name in names)

    return sound
