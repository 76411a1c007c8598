"""`/v1/completions`, the older form without messages (platform.openai.com/docs/api-reference/completions).

A reply: `{"object": "text_completion", "choices": [{"index", "text", "finish_reason", "logprobs"}],
"usage"}`.
"""

from __future__ import annotations

from typing import Any

from batchllm.endpoints import finish, instruction
from batchllm.endpoints.choices import ChoicesAssembler, first_choice, no_choice, usage_of
from batchllm.endpoints.deltas import extend_lists
from batchllm.endpoints.fields import as_text, bad, error_sentence, first_text
from batchllm.endpoints.request import choices_asked, fault
from batchllm.errors import ErrorCode
from batchllm.protocols import Assembler
from batchllm.thinking import split_thinking
from batchllm.types import Answer, Json

CHOICE_FIELDS = frozenset({"index", "text", "finish_reason", "logprobs"})


class Completions:
    path = "/v1/completions"
    streams = True
    usage_on_request = True

    def check(self, body: Json) -> str | None:
        prompt = body.get("prompt")
        if not isinstance(prompt, str | list) or not prompt:
            return '"prompt" must be a non-empty text or list.'
        return fault(body)

    def read(self, body: Any) -> Answer:
        return _read(body)

    def assembler(self, body: Json) -> Assembler:
        return ChoicesAssembler("text_completion", Choice, choices_asked(body) * _prompts(body.get("prompt")))

    def with_schema(self, body: Json, name: str, schema: Json, mode: str) -> Json:
        """There are no tools and no messages here: `tool` is asked for in words, like `prompt`."""
        if body.get("response_format") is not None:
            return dict(body)
        if instruction.mode_or_raise(mode) == instruction.JSON_SCHEMA:
            form = {"type": "json_schema", "json_schema": instruction.spec(name, schema)}
            return {**body, "response_format": form}
        if mode == instruction.JSON_OBJECT:
            return {**_instructed(body, schema), "response_format": {"type": "json_object"}}
        return _instructed(body, schema)

    def with_reask(self, body: Json, answer: Answer, complaint: str) -> Json:
        return _continued(body, f"{answer.text or ''}\n\n{complaint}\n\n")

    def prompt_text(self, body: Json) -> str:
        prompt = body.get("prompt")
        texts = prompt if isinstance(prompt, list) else [prompt]
        return "\n".join(text for text in [*texts, body.get("suffix")] if isinstance(text, str))


def _prompts(prompt: Any) -> int:
    """How many prompts there are: a list of token numbers is one, any other list has one in each place."""
    return len(prompt) if isinstance(prompt, list) and not all(type(item) is int for item in prompt) else 1


def _instructed(body: Json, schema: Json) -> Json:
    return _continued(body, f"\n\n{instruction.instruction(schema)}\n\n")


def _continued(body: Json, words: str) -> Json:
    """The prompt with these words behind it. One given as token numbers cannot take any, and stays."""
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        return {**body, "prompt": [item + words if isinstance(item, str) else item for item in prompt]}
    return {**body, "prompt": (as_text(prompt) or "") + words}


def _read(body: Any) -> Answer:
    if not isinstance(body, dict):
        return bad("The reply is not a JSON object.")
    if sentence := error_sentence(body):
        return bad(sentence)
    choice = first_choice(body)
    usage, model = usage_of(body, choice), as_text(body.get("model"))
    if choice is None:
        return Answer(usage=usage, model=model, problem=ErrorCode.BAD_RESPONSE, problem_text=no_choice(body))
    thought, text, closed = split_thinking(as_text(choice.get("text")) or "")
    ending = as_text(choice.get("finish_reason"))
    reasoning = first_text(choice, ("reasoning_content", "reasoning")) or thought
    code, sentence = _problem(choice, text, closed, bool(reasoning)) or (None, "")
    return Answer(text, reasoning, ending, usage, model, code, sentence)


def _problem(choice: Json, text: str, closed: bool, reasoned: bool) -> finish.Problem | None:
    found = finish.WITHHELD if finish.filtered(choice) else finish.problem(as_text(choice.get("finish_reason")))
    empty = not text.strip()
    if empty and reasoned and (not closed or (found and found[0] is ErrorCode.TRUNCATED)):
        return finish.USED_UP
    if found:
        return found
    if not closed:
        return finish.UNCLOSED
    if not empty:
        return None
    return finish.ALL_REASONING if reasoned else finish.EMPTY


class Choice:
    """One streamed choice as it grows."""

    __slots__ = ("_logprobs", "_pieces", "_rest", "finish")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._logprobs: Json | None = None
        self._rest: Json = {}
        self.finish: str | None = None

    def take(self, choice: Json) -> None:
        if isinstance(text := choice.get("text"), str):
            self._pieces.append(text)
        self.finish = as_text(choice.get("finish_reason")) or self.finish
        if isinstance(logprobs := choice.get("logprobs"), dict):
            self._logprobs = self._logprobs or {}
            extend_lists(self._logprobs, logprobs)
        self._rest.update((key, value) for key, value in choice.items() if key not in CHOICE_FIELDS)

    def body(self, index: int) -> Json:
        known = {"index": index, "text": "".join(self._pieces), "finish_reason": self.finish}
        return {**self._rest, **known, "logprobs": self._logprobs}


ENDPOINT = Completions()
