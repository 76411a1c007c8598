"""`/v1/chat/completions` (platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

from typing import Any

from batchllm.endpoints import chat_reading, instruction, messages
from batchllm.endpoints.chat_stream import chat_assembler
from batchllm.endpoints.request import choices_asked, fault
from batchllm.protocols import Assembler
from batchllm.types import Answer, Json


class ChatCompletions:
    path = "/v1/chat/completions"
    streams = True
    usage_on_request = True

    def check(self, body: Json) -> str | None:
        return fault(body) or messages.fault(body.get("messages"))

    def read(self, body: Any) -> Answer:
        return chat_reading.read(body)

    def assembler(self, body: Json) -> Assembler:
        return chat_assembler(choices_asked(body))

    def with_schema(self, body: Json, name: str, schema: Json, mode: str) -> Json:
        """Leaves a body alone that says itself in which form it wants its answer."""
        if body.get("response_format") is not None:
            return dict(body)
        return _MODES[instruction.mode_or_raise(mode)](body, name, schema)

    def with_reask(self, body: Json, answer: Answer, complaint: str) -> Json:
        return {**body, "messages": messages.asked_again(body.get("messages"), answer, complaint)}

    def prompt_text(self, body: Json) -> str:
        texts = [*messages.billed_texts(body.get("messages")), *messages.billed_schemas(body)]
        return "\n".join(text for text in texts if text)


def _json_schema(body: Json, name: str, schema: Json) -> Json:
    form = {"type": "json_schema", "json_schema": instruction.spec(name, schema)}
    return {**body, "response_format": form}


def _json_object(body: Json, name: str, schema: Json) -> Json:
    """The mode holds the model to any object: which one only the words say, and the word "json" that some demand."""
    return {**_prompt(body, name, schema), "response_format": {"type": "json_object"}}


def _tool(body: Json, name: str, schema: Json) -> Json:
    declared = instruction.function(name, schema)
    own = body["tools"] if isinstance(body.get("tools"), list) else []
    choice = {"type": "function", "function": {"name": declared["name"]}}
    return {**body, "tools": [*own, {"type": "function", "function": declared}], "tool_choice": choice}


def _prompt(body: Json, name: str, schema: Json) -> Json:
    return {**body, "messages": messages.instructed(body.get("messages"), instruction.instruction(schema))}


_MODES = {
    instruction.JSON_SCHEMA: _json_schema,
    instruction.JSON_OBJECT: _json_object,
    instruction.TOOL: _tool,
    instruction.PROMPT: _prompt,
}

ENDPOINT = ChatCompletions()
