"""What is said: text, an object for a schema, tool calls or a refusal, cut to the tokens allowed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

import orjson

from batchllm.simulator import prose
from batchllm.simulator.faults import Fault
from batchllm.simulator.schema_instance import instance
from batchllm.simulator.seeds import draws, mix
from batchllm.simulator.tokens import pieces

Finish = Literal["stop", "length", "tool_calls", "content_filter"]
REFUSAL = "I'm sorry, but I can't help with that."
_TEXT_SALT, _THOUGHT_SALT, _TOOL_SALT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the answer has to call."""

    name: str
    parameters: Any


@dataclass(frozen=True, slots=True)
class Ask:
    """What an answer depends on, whichever endpoint was asked."""

    prompt: str
    """The last user text."""
    schema: Any = None
    """JSON Schema of the answer; None for free text."""
    tools: tuple[Tool, ...] = ()
    """Functions that must be called; empty where the answer is content."""
    max_tokens: int | None = None
    thinks: bool = False
    """Thoughts come before the answer, and out of the same max_tokens."""
    echo: str = ""
    """Text that stands before the answer (`echo` of `/v1/completions`)."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Texts are lists of tokens, to be joined or streamed one by one."""

    text: list[str]
    thought: list[str]
    finish: Finish = "stop"
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def tokens(self) -> int:
        """Completion tokens, thoughts included."""
        called = sum(len(pieces(call.arguments)) for call in self.tool_calls)
        refused = len(pieces(self.refusal)) if self.refusal else 0
        return len(self.text) + len(self.thought) + called + refused


def answer(ask: Ask, key: int, words: int, thought_words: int, fault: Fault | None = None) -> Answer:
    """The answer of the request with this key; `words` and `thought_words` at the median."""
    own = prose.prompt_words(ask.prompt)
    thought = pieces(_prose(draws(key, _THOUGHT_SALT), thought_words, own)) if ask.thinks else []
    if ask.tools:
        made = Answer([], thought, "tool_calls", None, tuple(_calls(ask.tools, key, own)))
    else:
        made = Answer(pieces(ask.echo + _content(ask.schema, draws(key, _TEXT_SALT), words, own)), thought)
    return _cut(_spoiled(made, ask, fault, key), ask.max_tokens)


def _content(schema: Any, rng: Random, words: int, own: Sequence[str]) -> str:
    if schema is None:
        return _prose(rng, words, own)
    return orjson.dumps(instance(schema, rng, own), default=str).decode()


def _prose(rng: Random, words: int, own: Sequence[str]) -> str:
    return prose.text(rng, round(words * rng.uniform(0.5, 1.5)), own)


def _calls(tools: Sequence[Tool], key: int, own: Sequence[str]) -> list[ToolCall]:
    rng = draws(key, _TOOL_SALT)
    tool = rng.choice(tools)
    arguments = instance(tool.parameters or {"type": "object"}, rng, own)
    return [ToolCall(f"call_{mix(key, _TOOL_SALT):016x}", tool.name, orjson.dumps(arguments, default=str).decode())]


def _spoiled(made: Answer, ask: Ask, fault: Fault | None, key: int) -> Answer:
    match fault:
        case "empty":
            return Answer([], made.thought)
        case "refusal":
            return Answer([], made.thought, refusal=REFUSAL)
        case "content_filter":
            return Answer([], made.thought, "content_filter")
        case "length":
            return replace(made, text=made.text[: len(made.text) // 2], finish="length", tool_calls=())
        case "invalid_json":
            if made.tool_calls:
                return replace(made, tool_calls=tuple(replace(call, arguments=call.arguments[:-1]) for call in made.tool_calls))
            return replace(made, text=pieces(_wrong("".join(made.text), ask.schema, key)))
        case _:
            return made


def _wrong(text: str, schema: Any, key: int) -> str:
    """Cut-off JSON, prose around it, or JSON of another type: what models do when they miss a schema."""
    if schema is None:
        return '{"answer": "' + text[: len(text) // 2]
    other = "[]" if text.startswith("{") else "{}"
    return (text[: max(1, len(text) // 2)], f"Sure! Here is what I found: {text[: min(40, len(text) // 2)]}", other)[key % 3]


def _cut(made: Answer, most: int | None) -> Answer:
    """At most so many tokens. Thoughts come first and may leave nothing; half a tool call is none."""
    if most is None or made.tokens <= most:
        return made
    thought = made.thought[:most]
    return Answer(made.text[: most - len(thought)], thought, "length")
