"""`/v1/completions`: a prompt (or several) continued, whole or in chunks. Pure."""

from typing import Any

from batchllm.simulator import sse
from batchllm.simulator.answers import Answer, Ask, answer
from batchllm.simulator.formats import guided_schema, token_limit, told_schema, wanted_schema
from batchllm.simulator.reply import CREATED, FINGERPRINT, Call, Frame, Made, usage_asked
from batchllm.simulator.seeds import mix
from batchllm.simulator.tokens import estimate
from batchllm.simulator.usage import cached_tokens, chat_usage

_DEFAULT_TOKENS = 16
"""OpenAI's max_tokens of this endpoint, where the request has none."""


def prompts(body: dict[str, Any]) -> list[str | list[int]]:
    """The prompts: one text, several texts, one list of token numbers, or several."""
    prompt = body["prompt"]
    if isinstance(prompt, list) and not all(isinstance(token, int) for token in prompt):
        return prompt
    return [prompt]


def prompt_tokens(body: dict[str, Any]) -> int:
    return sum(len(one) if isinstance(one, list) else estimate(str(one)) for one in prompts(body))


def made(call: Call) -> Made:
    """`n` continuations of each prompt, numbered through."""
    body, options = call.body, call.options
    several = body.get("n") or 1 if call.dialect.several else 1
    asks = [_ask(call, prompt) for prompt in prompts(body) for _ in range(several)]
    answers = [answer(ask, mix(call.key, index), options.answer_words, 0, call.fault) for index, ask in enumerate(asks)]
    prompt, completion = prompt_tokens(body), sum(one.tokens for one in answers)
    usage = chat_usage(call.dialect, prompt, completion, cached_tokens(call, prompt), 0)
    choices = [_choice(index, "".join(one.text), one.finish) for index, one in enumerate(answers)]
    whole = {**_head(call), "choices": choices, "usage": usage}
    frames = (lambda: _frames(call, answers, usage)) if call.streams else None
    return Made(whole, prompt, completion, frames)


def _ask(call: Call, prompt: str | list[int]) -> Ask:
    body = call.body
    text = prompt if isinstance(prompt, str) else ""
    told = told_schema([text])
    formatted = wanted_schema(body.get("response_format"), told) if call.dialect.formats else told
    return Ask(
        prompt=text,
        schema=guided_schema(body) or formatted,
        max_tokens=token_limit(body, "max_tokens") or _DEFAULT_TOKENS,
        echo=text if body.get("echo") is True else "",
    )


def _head(call: Call) -> dict[str, Any]:
    return {
        "id": call.id("cmpl-"),
        "object": "text_completion",
        "created": CREATED,
        "model": call.model,
        "system_fingerprint": FINGERPRINT,
    }


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _frames(call: Call, answers: list[Answer], usage: dict[str, Any]) -> list[Frame]:
    head, frames = _head(call), list[Frame]()
    if call.dialect.stream_usage == "every_chunk":
        head["usage"] = usage
    at_finish = {"usage": usage} if call.dialect.stream_usage == "finish" else {}
    for index, one in enumerate(answers):
        frames += [(sse.data({**head, "choices": [_choice(index, piece, None)]}), 1) for piece in one.text]
        frames.append((sse.data({**head, "choices": [_choice(index, "", one.finish)], **at_finish}), 0))
    if usage_asked(call):
        frames.append((sse.data({**head, "choices": [], "usage": usage}), 0))
    return [*frames, (sse.DONE, 0)] if call.dialect.done_marker else frames
