"""`/v1/chat/completions`: a request body in, a completion or its chunks out. Pure."""

from typing import Any

from batchllm.simulator import sse
from batchllm.simulator.answers import Answer, Ask, answer
from batchllm.simulator.formats import asks_to_think, forced_tools, guided_schema, token_limit, told_schema, wanted_schema
from batchllm.simulator.reply import CREATED, FINGERPRINT, Call, Frame, Made, usage_asked
from batchllm.simulator.seeds import mix
from batchllm.simulator.tokens import estimate_messages, last_user_text, message_text, pieces
from batchllm.simulator.usage import cached_tokens, chat_usage

_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_COMMENT_EVERY = 20


def prompt_tokens(body: dict[str, Any]) -> int:
    return estimate_messages(body["messages"])


def made(call: Call) -> Made:
    """The completion for a chat request; one answer for each of `n`."""
    body, options = call.body, call.options
    shown = _reasoning_shape(call)
    ask = Ask(
        prompt=last_user_text(body["messages"]),
        schema=_schema(call),
        tools=forced_tools(body),
        max_tokens=token_limit(body, "max_completion_tokens", "max_tokens"),
        thinks=shown != "off",
    )
    several = body.get("n") or 1 if call.dialect.several else 1
    keys = [mix(call.key, index) for index in range(several)]
    answers = [answer(ask, key, options.answer_words, options.reasoning_words, call.fault) for key in keys]
    prompt, completion = prompt_tokens(body), sum(one.tokens for one in answers)
    usage = _usage(call, prompt, completion, sum(len(one.thought) for one in answers))
    frames = (lambda: _frames(call, answers, usage, shown)) if call.streams else None
    return Made(_whole(call, answers, usage, shown), prompt, completion, frames)


def _schema(call: Call) -> Any:
    told = told_schema(map(message_text, call.body["messages"]))
    if not call.dialect.formats:
        return told
    return wanted_schema(call.body.get("response_format"), told) or guided_schema(call.body)


def _reasoning_shape(call: Call) -> str:
    if call.body.get("enable_thinking") is False:
        return "off"
    if call.options.reasoning == "off" and asks_to_think(call.body):
        return call.dialect.reasoning
    return call.options.reasoning


def _usage(call: Call, prompt: int, completion: int, thought: int) -> dict[str, Any]:
    usage = chat_usage(call.dialect, prompt, completion, cached_tokens(call, prompt), thought)
    if call.dialect.name == "openrouter":
        usage["cost"] = 0
    return usage


def _head(call: Call, kind: str) -> dict[str, Any]:
    head = {
        "id": call.id("chatcmpl-"),
        "object": kind,
        "created": CREATED,
        "model": call.model,
        "system_fingerprint": FINGERPRINT,
    }
    if call.dialect.name == "openrouter":
        head["provider"] = "Simulated"
    return head


def _whole(call: Call, answers: list[Answer], usage: dict[str, Any], shown: str) -> dict[str, Any]:
    whole = _head(call, "chat.completion")
    whole["choices"] = [_choice(call, index, one, shown) for index, one in enumerate(answers)]
    whole["usage"] = usage
    if call.dialect.content_filter_results:
        whole["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _SAFE}]
    return whole


def _choice(call: Call, index: int, one: Answer, shown: str) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": index,
        "message": _message(one, shown),
        "logprobs": None,
        "finish_reason": one.finish,
    }
    if call.dialect.content_filter_results:
        choice["content_filter_results"] = _SAFE
    return choice


def _message(one: Answer, shown: str) -> dict[str, Any]:
    content: str | None = "".join(_content_pieces(one, shown))
    if one.tool_calls or one.refusal:
        content = content or None
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": one.refusal}
    if one.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in one.tool_calls
        ]
    if one.thought and shown in ("reasoning_content", "reasoning"):
        message[shown] = "".join(one.thought)
    return message


def _content_pieces(one: Answer, shown: str) -> list[str]:
    """What stands in `content`; thoughts that were cut off leave their tag open, as a model does."""
    if shown != "think" or not one.thought:
        return one.text
    closed = [] if one.finish == "length" and not one.text else ["\n</think>\n\n"]
    return ["<think>\n", *one.thought, *closed, *one.text]


def _frames(call: Call, answers: list[Answer], usage: dict[str, Any], shown: str) -> list[Frame]:
    """The chunks: role, thoughts, content or tool calls, finish; then usage if asked for, and [DONE]."""
    head = _head(call, "chat.completion.chunk")
    with_usage = usage_asked(call)
    if call.dialect.stream_usage == "every_chunk":
        head["usage"] = usage
    elif with_usage:
        head["usage"] = None
    frames: list[Frame] = []
    if call.dialect.comment:
        frames.append((sse.comment(call.dialect.comment), 0))
    if call.dialect.empty_first_chunk:
        results = [{"prompt_index": 0, "content_filter_results": _SAFE}]
        frames.append((sse.data({**head, "choices": [], "prompt_filter_results": results}), 0))
    for index, one in enumerate(answers):
        frames += _choice_frames(call, head, index, one, shown, usage)
    if with_usage:
        frames.append((sse.data({**head, "choices": [], "usage": usage}), 0))
    if call.dialect.done_marker:
        frames.append((sse.DONE, 0))
    return frames


def _choice_frames(call: Call, head: dict[str, Any], index: int, one: Answer, shown: str, usage: dict[str, Any]) -> list[Frame]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        told = {"usage": usage} if finish and call.dialect.stream_usage == "finish" else {}
        return sse.data({**head, "choices": [choice], **told})

    frames = [(chunk({"role": "assistant", "content": ""}), 0)]
    for number, (delta, tokens) in enumerate(_deltas(one, shown)):
        frames.append((chunk(delta), tokens))
        if call.dialect.comment and number % _COMMENT_EVERY == _COMMENT_EVERY - 1:
            frames.append((sse.comment(call.dialect.comment), 0))
    frames.append((chunk({}, one.finish), 0))
    return frames


def _deltas(one: Answer, shown: str) -> list[tuple[dict[str, Any], int]]:
    deltas: list[tuple[dict[str, Any], int]] = []
    if shown in ("reasoning_content", "reasoning"):
        deltas += [({shown: piece, "content": None}, 1) for piece in one.thought]
    elif shown == "hidden" and one.thought:
        deltas.append(({"content": ""}, len(one.thought)))
    deltas += [({"content": piece}, 1) for piece in _content_pieces(one, shown)]
    if one.refusal:
        deltas += [({"refusal": piece}, 1) for piece in pieces(one.refusal)]
    for number, call in enumerate(one.tool_calls):
        start = {
            "index": number,
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        deltas.append(({"tool_calls": [start]}, 0))
        parts = pieces(call.arguments)
        deltas += [({"tool_calls": [{"index": number, "function": {"arguments": part}}]}, 1) for part in parts]
    return deltas
