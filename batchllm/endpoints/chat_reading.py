"""What a `chat.completion` means: the answer, its reasoning, and what is wrong with it.

Shape: `{"choices": [{"index", "message": {"content", "tool_calls", "refusal"}, "finish_reason"}], "usage",
"model"}` (platform.openai.com/docs/api-reference/chat/object). Reasoning fields: DeepSeek, Qwen, vLLM and
SGLang say `reasoning_content`; OpenRouter and newer vLLM say `reasoning`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from batchllm.endpoints import finish
from batchllm.endpoints.choices import first_choice, no_choice, usage_of
from batchllm.endpoints.fields import (
    as_dict,
    as_list,
    as_text,
    bad,
    dicts,
    error_sentence,
    first_text,
    shown,
    written,
)
from batchllm.endpoints.finish import Problem
from batchllm.endpoints.messages import split_parts
from batchllm.errors import ErrorCode
from batchllm.thinking import split_thinking
from batchllm.types import Answer, Json

REASONING_FIELDS = ("reasoning_content", "reasoning")


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
        return Answer(usage=usage, model=model, problem=ErrorCode.BAD_RESPONSE, problem_text=no_choice(body))
    message = _message(choice)
    code, sentence = _problem(message) or (None, "")
    return Answer(message.text, message.reasoning, message.finish, usage, model, code, sentence)


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
        text=text if text or (content is not None and not calls) else None,
        reasoning=first_text(message, REASONING_FIELDS) or part_reasoning or thought or None,
        closed=closed,
        tools=len(calls),
        refusal=first_text(message, ("refusal",)),
        finish=as_text(choice.get("finish_reason")),
        filtered=finish.filtered(choice),
    )


def _arguments(message: Json) -> list[str]:
    """The arguments of each call, as text whatever they came as. `function_call` is the older form."""
    if not message.get("tool_calls") and not message.get("function_call"):
        return []
    calls = [as_dict(call.get("function") or call.get("custom")) for call in dicts(message.get("tool_calls"))]
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [message["function_call"]]
    return [_text(call.get("arguments", call.get("input"))) for call in calls]


def _text(arguments: Any) -> str:
    """Ollama sends the arguments as an object where others send its text."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return written(arguments)


def _problem(message: Message) -> Problem | None:
    """Why this choice is no answer; the first reason that holds."""
    if message.refusal:
        return ErrorCode.REFUSAL, f"The model refused: {shown(message.refusal)}"
    if message.filtered:
        return finish.WITHHELD
    ending = finish.problem(message.finish)
    if message.empty and message.reasoning and (not message.closed or (ending and ending[0] is ErrorCode.TRUNCATED)):
        return finish.USED_UP
    if ending:
        return ending
    if not message.closed:
        return finish.UNCLOSED
    if not message.empty or message.tools:
        return None
    return finish.ALL_REASONING if message.reasoning else finish.EMPTY
