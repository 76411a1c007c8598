"""Puts `chat.completion.chunk`s together into the `chat.completion` they are pieces of.

Shape of a chunk: `{"id", "model", "choices": [{"index", "delta": {…}, "finish_reason", "logprobs"}],
"usage"}` (platform.openai.com/docs/api-reference/chat-streaming).
"""

from __future__ import annotations

from typing import Any

from batchllm.endpoints.choices import ChoicesAssembler
from batchllm.endpoints.deltas import ToolCalls, extend_lists, merge
from batchllm.endpoints.messages import split_parts
from batchllm.types import Json

CONTINUED = frozenset({"content", "reasoning_content", "reasoning", "refusal"})
NESTED = frozenset({"function_call", "audio"})
CHOICE_FIELDS = frozenset({"index", "delta", "message", "finish_reason", "logprobs"})


class Choice:
    """One choice as it grows."""

    __slots__ = ("_calls", "_fields", "_logprobs", "_rest", "_texts", "finish")

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._fields: Json = {}  # of the message: the last word of each
        self._rest: Json = {}  # of the choice itself
        self._calls: ToolCalls | None = None
        self._logprobs: Json | None = None
        self.finish: str | None = None

    def take(self, choice: Json) -> None:
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            self._take_delta(delta)
        finish = choice.get("finish_reason")
        if finish and isinstance(finish, str):
            self.finish = finish
        logprobs = choice.get("logprobs")
        if logprobs and isinstance(logprobs, dict):
            if self._logprobs is None:
                self._logprobs = {}
            extend_lists(self._logprobs, logprobs)
        for key, value in choice.items():
            if key not in CHOICE_FIELDS and value is not None:
                self._rest[key] = value

    def _take_delta(self, delta: Json) -> None:
        for key, value in delta.items():
            if value is None:
                continue
            if key in CONTINUED:
                self._continue(key, value)
            elif key == "tool_calls":
                self._take_calls(value)
            elif key in NESTED and isinstance(value, dict):
                merge(self._fields.setdefault(key, {}), value)
            else:
                self._keep(key, value)

    def _keep(self, key: str, value: Any) -> None:
        """A field we do not know: lists grow (annotations, images), of anything else the last word counts."""
        old = self._fields.get(key)
        if isinstance(value, list):
            if isinstance(old, list):
                old.extend(value)
            else:
                self._fields[key] = list(value)
        elif not isinstance(value, dict):
            self._fields[key] = value

    def _continue(self, key: str, value: Any) -> None:
        if isinstance(value, list):
            text, reasoning = split_parts(value)
            self._continue(key, text)
            if reasoning:
                self._continue("reasoning_content", reasoning)
        elif isinstance(value, str):
            texts = self._texts.get(key)
            if texts is None:
                texts = self._texts[key] = []
            texts.append(value)

    def _take_calls(self, value: Any) -> None:
        if isinstance(value, list):
            if self._calls is None:
                self._calls = ToolCalls()
            for call in value:
                if isinstance(call, dict):
                    self._calls.take(call)

    def body(self, index: int) -> Json:
        calls = self._calls.calls() if self._calls else []
        texts = {key: "".join(pieces) for key, pieces in self._texts.items()}
        content = texts.pop("content", None)
        refusal = texts.pop("refusal", None) or None
        if calls and not content:
            content = None  # as a reply in one piece says it; streams often open with an empty text
        message = {**self._fields, "role": "assistant", "content": content, "refusal": refusal, **texts}
        if calls:
            message["tool_calls"] = calls
        return {
            **self._rest,
            "index": index,
            "message": message,
            "finish_reason": self.finish,
            "logprobs": self._logprobs,
        }


def chat_assembler(asked: int = 1) -> ChoicesAssembler:
    return ChoicesAssembler("chat.completion", Choice, asked)
