"""From the text of an answer to a verdict on it, and from a verdict to the words that ask again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from batchllm import strictjson
from batchllm.thinking import BLANK
from batchllm.validation.extract import find_json
from batchllm.validation.schema import Problem, Schema

MAX_COMPLAINT = 2000
_ASK = "Answer with the corrected JSON object only."
# C0, C1, the line separators, what turns the direction of text, and what is no character at all.
_HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Judgement:
    """`parsed` is None where there are problems; `path` says how the JSON was found, None if it was not."""

    parsed: Any
    problems: list[Problem]
    path: str | None = None
    duplicate_keys: bool = False


def judge(text: str, schema: Schema) -> Judgement:
    """Find the JSON in an answer and hold it to the schema. Never raises on anything a model can write."""
    found = find_json(text)
    if found is None:
        return Judgement(None, [Problem("", _why_not_json(text))])
    parsed, problems = schema.validate(found.value)
    return Judgement(parsed, problems, found.path, found.duplicate_keys)


def _why_not_json(text: str) -> str:
    if not text.strip(BLANK):
        return "the answer is empty"
    try:
        orjson.loads(text)
    except ValueError as error:
        return f"the answer is not JSON: {error}"
    return "the answer is not JSON that can be kept: it is nested too deep or holds a number too long"


def complaint(problems: list[Problem], text: str) -> str:
    """What to tell the model about its answer `text`: a line for each problem, `MAX_COMPLAINT` characters."""
    subject = "Your answer does not fit what was asked:" if text.strip(BLANK) else "Your answer was empty:"
    lines, left = [subject], MAX_COMPLAINT - len(subject) - len(_ASK) - 50
    found = list(dict.fromkeys(map(_line, problems)))
    for number, line in enumerate(found):
        if len(line) > left:
            lines.append(f"- and {len(found) - number} more")
            break
        lines.append(line)
        left -= len(line) + 1
    return "\n".join([*lines, _ASK])


def _line(problem: Problem) -> str:
    text = f"{problem.path}: {problem.message}" if problem.path else problem.message
    return "- " + _HARMFUL.sub(" ", text)[:500]


def instruction(schema: Schema) -> str:
    """What a prompt says where the server is not given the schema itself.

    The word "json" is in it because `json_object` modes refuse a request without it (OpenAI, DashScope).
    """
    document = strictjson.dumps(schema.json_schema).decode()
    return (
        "Answer with one JSON object only, no other text and no code fence (format: json), "
        f"valid for this JSON schema: {document}"
    )
