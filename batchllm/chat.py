"""What a conversation at the terminal remembers, and what its commands do to it. Pure: no terminal, no network, no clock.

entry = parse(line)            what a typed line is: something to say, a command, or nothing
obey(conversation, command)    carries a command out; gives the lines to show
conversation.line(text)        the next request, written as a job line
conversation.keep(text, …)     the turn becomes history: what was said, without the reasoning
conversation.saved(…)          the conversation as a line for a job file
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from batchllm.types import NO_USAGE, Json, Usage

FIELDS = {"chat/completions": "messages", "responses": "input"}
"""The paths a conversation can be held on, and the field of the body it stands in."""
_ELSEWHERE = {"messages": "/clear", "input": "/clear", "stream": "/stream on|off", "system": "/system TEXT"}


class CommandError(ValueError):
    """A command that cannot be carried out; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Say:
    """Something to ask the model."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """`/name argument`."""

    name: str
    argument: str = ""


@dataclass(slots=True)
class Conversation:
    """`params` are fields of the request body (model, temperature …); `turns` are messages of user and assistant in turn.

    `url` is the path lines name, `held_in` the field of the body its messages stand in.
    """

    url: str
    held_in: str
    params: Json
    stream: bool
    system: str | None = None
    turns: list[Json] = field(default_factory=list)
    usage: Usage = NO_USAGE
    last_usage: Usage = NO_USAGE
    cost_usd: float | None = None
    asked: int = 0

    def line(self, text: str) -> Json:
        """The next request as a job line in the batch form."""
        return self._line([*self.turns, {"role": "user", "content": text}])

    def keep(self, text: str, answer: str | None) -> None:
        """Remember a turn. One without an answer is forgotten: two questions in a row are refused by many templates."""
        if answer and answer.strip():
            self.turns += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]

    def count(self, usage: Usage, cost_usd: float | None) -> None:
        self.asked += 1
        self.last_usage = usage
        self.usage = self.usage + usage
        if cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost_usd

    def saved(self, custom_id: str) -> Json:
        """The last request as a job line, its answer beside it in `metadata`: run again, the line asks the same question."""
        if not self.turns:
            raise CommandError("there is nothing to save yet")
        line = self._line(self.turns[:-1])
        return {"custom_id": custom_id, **line, "metadata": {"answer": self.turns[-1]["content"]}}

    def _line(self, turns: list[Json]) -> Json:
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        body = {**self.params, self.held_in: [*system, *turns]}
        return {"method": "POST", "url": self.url, "body": body}


def parse(line: str) -> Say | Command | None:
    """What a typed line is; None if it is blank. `//text` says `/text`."""
    text = line.strip()
    if not text:
        return None
    if text.startswith("//"):
        return Say(text[1:])
    if not text.startswith("/"):
        return Say(text)
    name, _, argument = text[1:].partition(" ")
    return Command(name.lower(), argument.strip())


def obey(conversation: Conversation, command: Command) -> list[str]:
    """Carry out a command that needs nothing but the conversation. Raises `CommandError`."""
    found = COMMANDS.get(command.name)
    if found is None:
        near = get_close_matches(command.name, [*COMMANDS, *HANDLED_OUTSIDE], n=1, cutoff=0.5)
        hint = f"did you mean /{near[0]}?" if near else "/help lists them"
        raise CommandError(f"there is no command /{command.name}; {hint}")
    return found(conversation, command.argument)


def setting(text: str) -> tuple[str, Any]:
    """`temperature=0` or `temperature 0` as a body field: the value is JSON where it is valid JSON, else text."""
    name, sign, value = text.partition("=")
    if not sign or " " in name.strip():
        name, _, value = text.partition(" ")
    name = name.strip()
    if not name:
        raise CommandError("name a field of the request, like temperature=0")
    if name in _ELSEWHERE:
        raise CommandError(f"{name} is not set as a field; use {_ELSEWHERE[name]}")
    try:
        return name, json.loads(value, parse_constant=_refused)
    except (ValueError, RecursionError):
        return name, value.strip()


def _refused(name: str) -> Any:
    raise ValueError(name)


def _help(conversation: Conversation, argument: str) -> list[str]:
    return HELP.splitlines()


def _clear(conversation: Conversation, argument: str) -> list[str]:
    conversation.turns.clear()
    return ["the conversation begins anew; /system and /set stay"]


def _system(conversation: Conversation, argument: str) -> list[str]:
    conversation.system = argument or None
    return [f"system: {argument}" if argument else "no system prompt"]


def _params(conversation: Conversation, argument: str) -> list[str]:
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in conversation.params.items()]
    system = f"system = {json.dumps(conversation.system, ensure_ascii=False)}" if conversation.system else "no system prompt"
    stream, kept = "on" if conversation.stream else "off", len(conversation.turns) // 2
    return [*lines, system, f"stream {stream}, {kept} turn{'' if kept == 1 else 's'} remembered"]


def _set(conversation: Conversation, argument: str) -> list[str]:
    if not argument:
        raise CommandError("say /set NAME VALUE, or /set NAME to take it out again")
    name, value = setting(argument)
    if value == "":
        conversation.params.pop(name, None)
        return [f"{name} is left to the server"]
    conversation.params[name] = value
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}"]


def _stream(conversation: Conversation, argument: str) -> list[str]:
    if argument not in ("on", "off"):
        raise CommandError("say /stream on or /stream off")
    conversation.stream = argument == "on"
    return [f"stream {argument}"]


def _usage(conversation: Conversation, argument: str) -> list[str]:
    if not conversation.asked:
        return ["nothing was asked yet"]
    cost = "" if conversation.cost_usd is None else f", ${conversation.cost_usd:.6f}"
    last, every = usage_words(conversation.last_usage), usage_words(conversation.usage)
    return [f"last answer  {last}", f"all {conversation.asked:<9}{every}{cost}"]


def usage_words(usage: Usage) -> str:
    """`12 prompt, 30 completion`; what the server did not tell is left out."""
    parts = (
        (usage.prompt_tokens, "prompt"),
        (usage.completion_tokens, "completion"),
        (usage.cached_tokens, "cached"),
        (usage.reasoning_tokens, "reasoning"),
    )
    return ", ".join(f"{count:,} {name}" for count, name in parts if count is not None) or "the server tells no usage"


HELP = """\
/help              this list
/clear             forget the conversation
/system TEXT       the system prompt; without TEXT none
/params            what is sent beside the messages
/set NAME VALUE    a field of the request (temperature, max_tokens, model …); without VALUE it is left out
/stream on|off     show answers as they come, or whole
/usage             tokens of the last answer and of all
/save FILE.jsonl   append the last request as a job line, its answer in the metadata
/exit              end; so does Ctrl-D. Ctrl-C stops an answer. //text says /text"""

COMMANDS: dict[str, Callable[[Conversation, str], list[str]]] = {
    "help": _help,
    "clear": _clear,
    "system": _system,
    "params": _params,
    "set": _set,
    "stream": _stream,
    "usage": _usage,
}
HANDLED_OUTSIDE = ("save", "exit", "quit")
"""Commands that touch a file or end the session: the terminal's side carries them out."""
