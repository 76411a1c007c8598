"""What a `chat.completion` means: the answer, its reasoning, and what is wrong with it.

Shape: `{"choices": [{"index", "message": {"content", "tool_calls", "refusal"}, "finish_reason"}], "usage", "model"}`
(platform.openai.com/docs/api-reference/chat/object). Reasoning fields: DeepSeek, Qwen, vLLM and SGLang say
`reasoning_content`; OpenRouter and newer vLLM say `reasoning`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from batchllm import strictjson
from batchllm.endpoints.fields import as_dict, as_list, as_text, bad, dicts, error_sentence, first_text, shown
from batchllm.endpoints.messages import split_parts
from batchllm.errors import ErrorCode
from batchllm.thinking import split_thinking
from batchllm.types import Answer, Json, Usage
from batchllm.usage import read_usage

REASONING_FIELDS = ("reasoning_content", "reasoning")

# finish_reason: length and content_filter are OpenAI's; model_length Mistral's, sensitive Zhipu's, safety Together's
# and Gemini's; insufficient_system_resource DeepSeek's, error OpenRouter's, abort vLLM's and SGLang's.
TRUNCATED = frozenset({"length", "max_tokens", "model_length", "max_output_tokens"})
FILTERED = frozenset({"content_filter", "sensitive", "safety", "prohibited_content", "recitation"})
BROKEN = frozenset({"error", "abort", "insufficient_system_resource", "network_error", "timeout", "cancelled"})

USAGE_PLACES = (("usage",), ("x_groq", "usage"))

Problem = tuple[ErrorCode, str]


class Message(NamedTuple):
    """One choice, taken apart."""

    text: str | None
    reasoning: str | None
    closed: bool  # whether the thinking in the content came to its end
    tools: int
    refusal: str | None
    finish: str | None
    filtered: bool

    @property
    def empty(self) -> bool:
        return not (self.text and self.text.strip())


def read(body: Any) -> Answer:
    if not isinstance(body, dict):
        return bad("The reply is not a JSON object.")
    if sentence := error_sentence(body):
        return bad(sentence)
    choice = first_choice(body)
    usage, model = usage_of(body, choice), as_text(body.get("model"))
    if choice is None:
        return Answer(usage=usage, model=model, problem=ErrorCode.BAD_RESPONSE, problem_text=_no_choice(body))
    message = _message(choice)
    code, sentence = _problem(message) or (None, "")
    return Answer(message.text, message.reasoning, message.finish, usage, model, code, sentence)


def first_choice(body: Json) -> Json | None:
    """The choice with index 0, wherever it stands; else the first there is."""
    choices = list(dicts(body.get("choices")))
    return next((choice for choice in choices if _is_zero(choice.get("index"))), choices[0] if choices else None)


def _is_zero(value: Any) -> bool:
    return value == 0 and isinstance(value, int) and not isinstance(value, bool)


def usage_of(body: Json, choice: Json | None) -> Usage | None:
    """The reply's usage. Groq's streams have it one level down, Moonshot's in the choice."""
    for place in USAGE_PLACES:
        value: Any = body
        for key in place:
            value = as_dict(value).get(key)
        if usage := read_usage(value):
            return usage
    return read_usage((choice or {}).get("usage"))


def _no_choice(body: Json) -> str:
    what = 'no "choices"' if body.get("choices") is None else "an empty list of choices"
    return f"The reply has {what}."


def _message(choice: Json) -> Message:
    message = as_dict(choice.get("message"))
    content = message.get("content")
    text, part_reasoning = (content, "") if isinstance(content, str) else split_parts(as_list(content))
    thought, text, closed = split_thinking(text)
    calls = _arguments(message)
    has_text = bool(text.strip())
    if not has_text and len(calls) == 1 and calls[0]:
        text = calls[0]  # where a schema is asked for as a tool, its arguments are the answer
    return Message(
        text=text if text or content is not None and not calls else None,
        reasoning=first_text(message, REASONING_FIELDS) or part_reasoning or thought or None,
        closed=closed,
        tools=len(calls),
        refusal=first_text(message, ("refusal",)),
        finish=as_text(choice.get("finish_reason")),
        filtered=_filter_results(choice),
    )


def _arguments(message: Json) -> list[str]:
    """The arguments of each call, as text whatever they came as. `function_call` is the older form."""
    calls = [as_dict(call.get("function") or call.get("custom")) for call in dicts(message.get("tool_calls"))]
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [message["function_call"]]
    return [_as_json(call.get("arguments", call.get("input"))) for call in calls]


def _as_json(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    try:
        return strictjson.dumps(arguments).decode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError):  # nested deeper than any writer goes
        return ""


def _filter_results(choice: Json) -> bool:
    """Azure: `content_filter_results: {"violence": {"filtered": true, …}}` beside the message."""
    results = as_dict(choice.get("content_filter_results"))
    return any(as_dict(result).get("filtered") is True for result in results.values())


def _problem(message: Message) -> Problem | None:
    """Why this choice is no answer; the first reason that holds."""
    finish = (message.finish or "").lower()
    if message.refusal:
        return ErrorCode.REFUSAL, f"The model refused: {shown(message.refusal)}"
    if finish in FILTERED or finish.startswith("content_filter") or message.filtered:
        return ErrorCode.CONTENT_FILTER, "The provider's content filter cut or withheld the answer."
    if finish in TRUNCATED or not message.closed:
        return ErrorCode.TRUNCATED, _cut(message)
    if finish in BROKEN:
        return ErrorCode.BAD_RESPONSE, f"The server gave up in the midst of the answer (finish_reason {finish!r})."
    if not message.empty or message.tools:
        return None
    if message.reasoning:
        return ErrorCode.BAD_RESPONSE, "The whole answer stands inside the reasoning; the content is empty."
    return ErrorCode.BAD_RESPONSE, "The reply has an empty answer."


def _cut(message: Message) -> str:
    if message.empty and message.reasoning:
        return "Thinking used up the tokens before the answer began; raise max_tokens or limit the thinking."
    if message.finish is not None and message.finish.lower() in TRUNCATED:
        return f"The answer was cut off at the token limit (finish_reason {message.finish!r}); raise max_tokens."
    return "The answer ends inside its reasoning: the thinking was never closed."
