"""What a request may not ask: the objections an endpoint of this dialect raises before it answers. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from batchllm.simulator.dialects import Dialect
from batchllm.simulator.options import SimulatorOptions
from batchllm.simulator.refusals import Kind
from batchllm.simulator.tokens import message_text

Objection = tuple[Kind, str | None]
"""The kind of refusal, and its message (None: the dialect's own words)."""

_NEEDS: Mapping[str, str] = {
    "chat": "messages",
    "completions": "prompt",
    "embeddings": "input",
    "responses": "input",
    "moderations": "input",
}
_COUNTS = ("n", "max_tokens", "max_completion_tokens", "max_output_tokens", "dimensions")


def objection(endpoint: str, body: dict[str, Any], dialect: Dialect, options: SimulatorOptions) -> Objection | None:
    """Why the request is refused whatever the load; None where it is not."""
    return (
        _missing(endpoint, body)
        or _bad_count(body)
        or _unknown_model(body, dialect, options)
        or (_chat_rules(body, dialect) if endpoint == "chat" else None)
        or (_usage_options(body, dialect) if endpoint == "responses" else None)
    )


def _usage_options(body: dict[str, Any], dialect: Dialect) -> Objection | None:
    """OpenAI: a stream of responses always tells its usage, and asking for it is an unknown parameter."""
    options = body.get("stream_options")
    if dialect.usage_options_for_responses or not isinstance(options, dict) or "include_usage" not in options:
        return None
    return "bad_request", "Unknown parameter: 'stream_options.include_usage'."


def _missing(endpoint: str, body: dict[str, Any]) -> Objection | None:
    name = _NEEDS[endpoint]
    value = body.get(name)
    if value is None or value == []:
        return "bad_request", f"Missing required parameter: '{name}'."
    if name == "messages" and not (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
        return "bad_request", "Invalid type for 'messages': expected an array of objects."
    return None


def _bad_count(body: dict[str, Any]) -> Objection | None:
    for name in _COUNTS:
        value = body.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            return (
                "bad_request",
                f"Invalid '{name}': expected an integer above or equal to 1, but got {value!r}.",
            )
    return None


def _unknown_model(body: dict[str, Any], dialect: Dialect, options: SimulatorOptions) -> Objection | None:
    model = body.get("model")
    if options.strict_models and model not in options.models:
        return (
            "not_found",
            None if "not_found" in dialect.words else f"The model `{model}` does not exist or you do not have access to it.",
        )
    return None


def _chat_rules(body: dict[str, Any], dialect: Dialect) -> Objection | None:
    for broken in _RULES:
        if found := broken(body, dialect):
            return found
    return None


def _json_word(body: dict[str, Any], dialect: Dialect) -> Objection | None:
    """OpenAI, DashScope, DeepSeek: `json_object` needs the word in the messages."""
    response_format = body.get("response_format")
    if not dialect.json_word_rule or not isinstance(response_format, dict):
        return None
    if response_format.get("type") != "json_object":
        return None
    if any("json" in message_text(message).lower() for message in body["messages"]):
        return None
    text = "'messages' must contain the word 'json' in some form, to use 'response_format' "
    text += "of type 'json_object'."
    return "bad_request", f"<400> InternalError.Algo.InvalidParameter: {text}" if _qwen(dialect) else text


def _thinking_streams(body: dict[str, Any], dialect: Dialect) -> Objection | None:
    """DashScope, ModelScope: Qwen3 thinks in streams only."""
    if dialect.thinking_needs_stream and body.get("enable_thinking") is True and body.get("stream") is not True:
        return "bad_request", "parameter.enable_thinking must be set to false for non-streaming calls"
    return None


def _thinking_is_not_json(body: dict[str, Any], dialect: Dialect) -> Objection | None:
    """DashScope: no JSON mode while thinking."""
    response_format = body.get("response_format")
    wants_json = isinstance(response_format, dict) and response_format.get("type") == "json_object"
    if _qwen(dialect) and wants_json and body.get("enable_thinking") is True:
        return "bad_request", "Json mode response is not supported when enable_thinking is true"
    return None


def _qwen(dialect: Dialect) -> bool:
    return dialect.name == "dashscope"


_RULES: tuple[Callable[[dict[str, Any], Dialect], Objection | None], ...] = (
    _json_word,
    _thinking_streams,
    _thinking_is_not_json,
)
