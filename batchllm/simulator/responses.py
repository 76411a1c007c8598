"""`/v1/responses`: a request body in, a response object or its events out. Pure.

The stream is built from the finished response, so that both always say the same.
"""

from typing import Any

from batchllm.simulator.answers import Answer, Ask, answer
from batchllm.simulator.formats import asks_to_think, forced_tools, token_limit, told_schema, wanted_schema
from batchllm.simulator.reply import CREATED, FINGERPRINT, Call, Made
from batchllm.simulator.response_events import frames
from batchllm.simulator.tokens import content_text, estimate, estimate_messages, last_user_text, message_text
from batchllm.simulator.usage import cached_tokens, responses_usage

_ECHOED = ("instructions", "max_output_tokens", "temperature", "top_p", "metadata", "text", "reasoning")


def prompt_tokens(body: dict[str, Any]) -> int:
    told = estimate(str(body.get("instructions") or ""))
    given = body["input"]
    return told + (estimate_messages(given) if isinstance(given, list) else estimate(str(given)))


def made(call: Call) -> Made:
    body, options = call.body, call.options
    ask = Ask(
        prompt=_prompt(body["input"]),
        schema=_schema(call),
        tools=forced_tools(body),
        max_tokens=token_limit(body, "max_output_tokens"),
        thinks=options.reasoning != "off" or asks_to_think(body),
    )
    one = answer(ask, call.key, options.answer_words, options.reasoning_words, call.fault)
    prompt = prompt_tokens(body)
    whole = _whole(call, one, prompt)
    streams = call.streams or (call.dialect.streams_responses and body.get("stream") is not False)
    return Made(whole, prompt, one.tokens, (lambda: frames(whole)) if streams else None)


def _schema(call: Call) -> Any:
    given = call.body["input"]
    texts = map(message_text, given) if isinstance(given, list) else [content_text(given)]
    told = told_schema([str(call.body.get("instructions") or ""), *texts])
    return wanted_schema((call.body.get("text") or {}).get("format"), told) if call.dialect.formats else told


def _prompt(given: Any) -> str:
    return last_user_text(given) if isinstance(given, list) else content_text(given)


def _whole(call: Call, one: Answer, prompt: int) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(one.finish)
    cached = cached_tokens(call, prompt)
    return {
        "id": call.id("resp_"),
        "object": "response",
        "created_at": CREATED,
        "model": call.model,
        "system_fingerprint": FINGERPRINT,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": _output(call, one),
        "parallel_tool_calls": True,
        "tool_choice": call.body.get("tool_choice", "auto"),
        "tools": call.body.get("tools", []),
        **{name: call.body.get(name) for name in _ECHOED},
        "usage": responses_usage(prompt, one.tokens, cached, len(one.thought)),
    }


def _output(call: Call, one: Answer) -> list[dict[str, Any]]:
    """A reasoning item where there was thought, then the function calls or one message."""
    state = "incomplete" if one.finish in ("length", "content_filter") else "completed"
    items: list[dict[str, Any]] = []
    if one.thought:
        summary = [{"type": "summary_text", "text": "".join(one.thought)}]
        items.append({"id": call.id("rs_"), "type": "reasoning", "summary": summary, "status": state})
    for called in one.tool_calls:
        items.append(
            {
                "id": call.id("fc_"),
                "type": "function_call",
                "call_id": called.id,
                "name": called.name,
                "arguments": called.arguments,
                "status": state,
            }
        )
    if not one.tool_calls and (one.text or one.refusal or not one.thought):
        items.append(
            {
                "id": call.id("msg_"),
                "type": "message",
                "role": "assistant",
                "status": state,
                "content": [_part(one)],
            }
        )
    return items


def _part(one: Answer) -> dict[str, Any]:
    if one.refusal:
        return {"type": "refusal", "refusal": one.refusal}
    return {"type": "output_text", "text": "".join(one.text), "annotations": [], "logprobs": []}
