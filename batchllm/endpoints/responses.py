"""`/v1/responses` (platform.openai.com/docs/api-reference/responses).

A reply: `{"status", "output": [{"type": "message", "content": [{"type": "output_text", "text"}]}, …],
"usage", "incomplete_details": {"reason"}, "error"}`.
"""

from __future__ import annotations

from typing import Any

from batchllm.endpoints import instruction, messages
from batchllm.endpoints.fields import (
    as_dict,
    as_list,
    as_text,
    bad,
    dicts,
    error_sentence,
    shown,
    strings_in,
    written,
)
from batchllm.endpoints.finish import ALL_REASONING, EMPTY, USED_UP, Problem, problem
from batchllm.endpoints.request import fault
from batchllm.endpoints.response_stream import ResponseAssembler
from batchllm.errors import ErrorCode
from batchllm.protocols import Assembler
from batchllm.types import Answer, Json
from batchllm.usage import read_usage

UNFINISHED = frozenset({"in_progress", "queued"})
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


class Responses:
    path = "/v1/responses"
    streams = True
    usage_on_request = False

    def check(self, body: Json) -> str | None:
        given = body.get("input")
        if not given and not body.get("prompt"):
            return '"input" must be a non-empty text or list.'
        if given is not None and not isinstance(given, str | list):
            return '"input" must be a text or a list.'
        if isinstance(given, list) and not all(isinstance(item, dict) for item in given):
            return 'Every item of "input" must be an object.'
        return fault(body)

    def read(self, body: Any) -> Answer:
        return _read(body)

    def assembler(self, body: Json) -> Assembler:
        return ResponseAssembler()

    def with_schema(self, body: Json, name: str, schema: Json, mode: str) -> Json:
        if as_dict(body.get("text")).get("format") is not None:
            return dict(body)
        return _MODES[instruction.mode_or_raise(mode)](body, name, schema)

    def with_reask(self, body: Json, answer: Answer, complaint: str) -> Json:
        return {**body, "input": messages.asked_again(_items(body), answer, complaint)}

    def prompt_text(self, body: Json) -> str:
        texts = [as_text(body.get("instructions")) or "", *messages.billed_texts(_items(body))]
        texts += [text for item in _others(body) for text in strings_in(item)]
        if body.get("tools"):
            texts.append(written(body["tools"]))
        return "\n".join(text for text in texts if text)


def _items(body: Json) -> list[Any]:
    """The input as a list; a plain text is one message of the user."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return as_list(given)


def _others(body: Json) -> list[Json]:
    """Items that are no messages: calls, and what came of them."""
    return [item for item in dicts(body.get("input")) if "content" not in item]


def _read(body: Any) -> Answer:
    if not isinstance(body, dict):
        return bad("The reply is not a JSON object.")
    if sentence := error_sentence(body):
        return bad(sentence)
    parts = _Parts(body)
    reason = as_text(as_dict(body.get("incomplete_details")).get("reason"))
    code, sentence = _problem(body, parts, reason) or (None, "")
    return Answer(
        text=parts.text or None,
        reasoning=parts.reasoning or None,
        finish_reason=reason or as_text(body.get("status")),
        usage=read_usage(body.get("usage")),
        model=as_text(body.get("model")),
        problem=code,
        problem_text=sentence or "",
    )


class _Parts:
    """What the output items hold."""

    def __init__(self, body: Json) -> None:
        items = list(dicts(body.get("output")))
        said = [item for item in items if item.get("type", "message") == "message"]
        thought = [item for item in items if item.get("type") == "reasoning"]
        calls = [as_text(item.get(CALLS[kind])) or "" for item in items if (kind := as_text(item.get("type"))) in CALLS]
        self.calls = len(calls)
        self.refusal = "".join(
            as_text(part.get("refusal")) or ""
            for item in said
            for part in dicts(item.get("content"))
            if part.get("type") == "refusal"
        )
        self.text = "".join(messages.content_text(item.get("content")) for item in said)
        if not self.text.strip() and len(calls) == 1:
            self.text = calls[0]
        self.reasoning = "".join(_thought(item) for item in thought)


def _thought(item: Json) -> str:
    """The thinking itself where a server shows it, else its summary."""
    for field in ("content", "summary"):
        if text := messages.split_parts(as_list(item.get(field)))[1]:
            return text
    return ""


def _problem(body: Json, parts: _Parts, reason: str | None) -> Problem | None:
    status = as_text(body.get("status")) or ""
    if parts.refusal:
        return ErrorCode.REFUSAL, f"The model refused: {shown(parts.refusal)}"
    empty = not parts.text.strip()
    if found := problem(reason) or problem(status):
        return USED_UP if found[0] is ErrorCode.TRUNCATED and empty and parts.reasoning else found
    if status == "incomplete":
        return ErrorCode.TRUNCATED, f"The answer is incomplete ({shown(reason or 'no reason given')})."
    if status in UNFINISHED or status == "failed":
        return ErrorCode.BAD_RESPONSE, f"The reply is no answer: its status is {status!r}."
    if not empty or parts.calls:
        return None
    return ALL_REASONING if parts.reasoning else EMPTY


def _formatted(body: Json, form: Json) -> Json:
    return {**body, "text": {**as_dict(body.get("text")), "format": form}}


def _json_schema(body: Json, name: str, schema: Json) -> Json:
    return _formatted(body, {"type": "json_schema", **instruction.spec(name, schema)})


def _json_object(body: Json, name: str, schema: Json) -> Json:
    """In the input, since the word "json" must stand there: `instructions` do not count."""
    told = messages.instructed(_items(body), instruction.instruction(schema))
    return _formatted({**body, "input": told}, {"type": "json_object"})


def _tool(body: Json, name: str, schema: Json) -> Json:
    declared = {"type": "function", **instruction.function(name, schema)}
    choice = {"type": "function", "name": declared["name"]}
    return {**body, "tools": [*as_list(body.get("tools")), declared], "tool_choice": choice}


def _prompt(body: Json, name: str, schema: Json) -> Json:
    words = instruction.instruction(schema)
    given = as_text(body.get("instructions"))
    return {**body, "instructions": f"{given}\n\n{words}" if given else words}


_MODES = {
    instruction.JSON_SCHEMA: _json_schema,
    instruction.JSON_OBJECT: _json_object,
    instruction.TOOL: _tool,
    instruction.PROMPT: _prompt,
}

ENDPOINT = Responses()
