"""A list of chat messages: its texts, its faults, and what is added to it (never in place)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from batchllm.endpoints.fields import as_dict, as_list, as_text, dicts, strings_in, written
from batchllm.types import Answer, Json

SYSTEM_ROLES = ("system", "developer")
NO_ANSWER = "(no answer)"  # some chat templates demand that user and assistant alternate

# Part types of a message's content: what they are and the field that holds it. OpenAI has text, output_text
# and
# refusal; Mistral sends thinking, whose value is again a list of parts.
TEXT_PARTS = {"text": "text", "output_text": "text", "input_text": "text"}
REASONING_PARTS = {
    "thinking": "thinking",
    "reasoning": "text",
    "reasoning_text": "text",
    "summary_text": "text",
}


def fault(messages: Any) -> str | None:
    """What is wrong with `messages`, in a sentence."""
    if type(messages) is not list or not messages:
        return '"messages" must be a non-empty list of objects.'
    for number, message in enumerate(messages, 1):
        if sentence := _message_fault(number, message):
            return sentence
    return None


def _message_fault(number: int, message: Any) -> str | None:
    if type(message) is not dict:
        return f"Message {number} must be an object with a role and a content."
    role, content = message.get("role"), message.get("content")
    if type(role) is not str or not role:
        return f'Message {number} must have a "role" (a non-empty text).'
    if type(content) is str:
        return None
    if content is None:
        return None if role == "assistant" else f'Message {number} ({role}) has no "content".'
    if type(content) is not list:
        return f'The "content" of message {number} must be text or a list of parts.'
    if not all(type(part) is dict for part in content):
        return f'The "content" parts of message {number} must be objects.'
    return None


def split_parts(parts: Iterable[Any]) -> tuple[str, str]:
    """The text and the reasoning in a content that came as a list of parts."""
    text: list[str] = []
    reasoning: list[str] = []
    for part in parts:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict):
            kind = as_text(part.get("type")) or "text"
            text.append(_held(part, TEXT_PARTS.get(kind)))
            reasoning.append(_held(part, REASONING_PARTS.get(kind)))
    return "".join(text), "".join(reasoning)


def _held(part: Json, field: str | None) -> str:
    if field is None:
        return ""
    value = part.get(field)
    nested = "".join(as_text(item.get("text")) or "" for item in dicts(value))
    return value if isinstance(value, str) else nested


def content_text(content: Any) -> str:
    """The text of one message as it was sent, without its images."""
    return content if isinstance(content, str) else split_parts(as_list(content))[0]


def instructed(messages: Any, words: str) -> list[Any]:
    """The messages with these words at the end of the first system message, or in a new one at the front."""
    rest = as_list(messages)
    for position, message in enumerate(rest):
        if isinstance(message, dict) and message.get("role") in SYSTEM_ROLES:
            return [*rest[:position], _extended(message, words), *rest[position + 1 :]]
    return [{"role": "system", "content": words}, *rest]


def _extended(message: Json, words: str) -> Json:
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": words}]}
    return {**message, "content": f"{content}\n\n{words}" if isinstance(content, str) and content else words}


def asked_again(messages: Any, answer: Answer, complaint: str) -> list[Any]:
    """The messages with the rejected answer and the complaint behind them."""
    rejected = answer.text if answer.text and answer.text.strip() else NO_ANSWER
    return [
        *as_list(messages),
        {"role": "assistant", "content": rejected},
        {"role": "user", "content": complaint},
    ]


def billed_texts(messages: Any) -> Iterator[str]:
    """What of the messages a prompt is billed for: contents, and the calls and names of earlier turns."""
    for message in dicts(messages):
        yield content_text(message.get("content"))
        yield from strings_in(message.get("tool_calls"))
        yield as_text(message.get("name")) or ""


def billed_schemas(body: Json) -> Iterator[str]:
    """Tools and schemas stand in the prompt too, as JSON."""
    for value in (body.get("tools"), as_dict(body.get("response_format")).get("json_schema")):
        if value:
            yield written(value)
