"""What a request wants its answer to look like: response formats, tools, token limits, thinking. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from batchllm.simulator.answers import Tool

ANY_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["answer", "confidence"],
}
"""What a `json_object` answer is drawn from."""


def wanted_schema(response_format: Any, told: Any = None) -> Any:
    """The schema in `response_format` of chat (`json_schema.schema`) or `text.format` of responses.

    `told` is the one the prompt tells: what a model keeps to that is held to JSON only, or to nothing.
    """
    if not isinstance(response_format, dict):
        return told
    if response_format.get("type") == "json_object":
        return told or ANY_OBJECT
    if response_format.get("type") != "json_schema":
        return None
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else response_format.get("schema")
    return ANY_OBJECT if schema is None else schema


def told_schema(texts: Iterable[str]) -> Any:
    """The first JSON object behind the words "JSON Schema" in a prompt; None where there is none."""
    for text in texts:
        at = text.find("JSON Schema")
        start = text.find("{", at) if at >= 0 else -1
        if start < 0:
            continue
        try:
            return json.JSONDecoder().raw_decode(text, start)[0]
        except ValueError:
            continue
    return None


def guided_schema(body: dict[str, Any]) -> Any:
    """vLLM's `guided_json` and `structured_outputs.json`; None where neither stands."""
    outputs = body.get("structured_outputs")
    return body.get("guided_json") or (outputs.get("json") if isinstance(outputs, dict) else None)


def forced_tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    """The functions one of which must be called; with tool_choice `auto` the answer is always content."""
    tools = [_tool(tool) for tool in body.get("tools") or () if isinstance(tool, dict)]
    choice = body.get("tool_choice")
    if choice == "required":
        return tuple(tools)
    if not isinstance(choice, dict):
        return ()
    name = (choice.get("function") or choice).get("name")
    return tuple(tool for tool in tools if tool.name == name)


def _tool(tool: dict[str, Any]) -> Tool:
    """Chat nests the function, responses does not."""
    function = tool.get("function") or tool
    return Tool(str(function.get("name")), function.get("parameters"))


def token_limit(body: dict[str, Any], *names: str) -> int | None:
    """The first of these fields that is a number."""
    for name in names:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def asks_to_think(body: dict[str, Any]) -> bool:
    """`reasoning_effort`, `reasoning.effort` (OpenAI), `enable_thinking` (DashScope), the name (DeepSeek)."""
    template = body.get("chat_template_kwargs")
    if body.get("enable_thinking") is True or (isinstance(template, dict) and template.get("enable_thinking") is True):
        return True
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else body.get("reasoning_effort")
    return effort not in (None, "none") or "reasoner" in str(body.get("model"))
