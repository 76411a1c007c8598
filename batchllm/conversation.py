"""A conversation as a value: what was asked and answered so far, and what of it goes along with the next turn. Pure.

    {"last": N}        the last N messages of what was said before
    {"tokens": N}      as many of the last messages as N tokens hold, by estimate
    {"summarise": …}   one of the two above; what they leave out is summarised by a request of its own

The messages a line begins with (system, examples) always go along; what is cut off is cut off in front of a question, since
many chat templates want the user to speak first. Answers join the history without their reasoning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchllm.endpoints.messages import SYSTEM_ROLES, content_text, instructed
from batchllm.types import Json

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
SUMMARISE = (
    "Summarise the conversation below for somebody who has to carry it on: facts, figures, names, decisions, open questions. "
    "Use as few words as possible, and answer with the summary alone."
)
HEADING = "What was said before, in short:"


@dataclass(frozen=True, slots=True)
class History:
    """How much of a conversation goes along with each turn; all of it where neither bound is set."""

    last: int | None = None
    tokens: int | None = None
    summarise: bool = False


def history_from(value: Any) -> History:
    """The history that a line or the settings ask for. Raises `ValueError` with a sentence."""
    if value is None:
        return History()
    if isinstance(value, dict) and list(value) == ["summarise"]:
        inner = history_from(value["summarise"])
        if inner == History() or inner.summarise:
            raise ValueError(f"'history' {_SHAPES}")
        return History(inner.last, inner.tokens, True)
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"'history' {_SHAPES}")
    ((kind, count),) = value.items()
    if kind not in ("last", "tokens") or type(count) is not int or count < 1:
        raise ValueError(f"'history' {_SHAPES}")
    return History(last=count if kind == "last" else None, tokens=count if kind == "tokens" else None)


_SHAPES = 'must be {"last": N messages}, {"tokens": N} or {"summarise": {"last": N}}'


@dataclass(frozen=True, slots=True)
class Said:
    """One turn that is answered: the question, the answer without its reasoning, and what is kept of it in the record."""

    question: str
    text: str
    entry: Json


class Conversation:
    """The state of one line with turns. `opening` is what its messages begin with, the first question left out."""

    def __init__(self, body: Json, turns: tuple[str, ...], history: History) -> None:
        self.turns = turns
        self.history = history
        self.said: list[Said] = []
        self.summaries: list[Json] = []
        self._summary = ""
        self._covered = 0
        self._body = body
        self._opening: list[Json] = list(body["messages"][:-1])

    @property
    def turn(self) -> int:
        """The turn to be asked now, from 0."""
        return len(self.said)

    @property
    def is_last(self) -> bool:
        return len(self.said) + 1 >= len(self.turns)

    def answered(self, text: str, entry: Json) -> None:
        self.said.append(Said(self.turns[self.turn], text, entry))

    def summarised(self, text: str, covers: int, entry: Json) -> None:
        """What was said in the first `covers` messages is now held by this text."""
        self._summary, self._covered = text, covers
        self.summaries.append(entry)

    def left_out(self) -> int:
        """Messages that do not go along with the next question."""
        before, history = self._before(), self.history
        start = 0
        if history.last is not None:
            start = max(0, len(before) - history.last)
        elif history.tokens is not None:
            start, left = len(before), history.tokens
            while start and (left := left - _tokens(before[start - 1])) >= 0:
                start -= 1
        return min(start + start % 2, len(before))  # questions stand at even places

    def summary_due(self) -> int:
        """How many messages a summary has to cover before the next question; 0 if none is due."""
        start = self.left_out()
        return start if self.history.summarise and start > self._covered else 0

    def request(self) -> Json:
        """The body that asks the next turn."""
        opening = self._opening
        if self._summary:
            opening = instructed(opening, f"{HEADING}\n{self._summary}")
        question = {"role": "user", "content": self.turns[self.turn]}
        return {**self._body, "messages": [*opening, *self._before()[self.left_out() :], question]}

    def summary_request(self) -> Json:
        """The body that asks for a summary of what is to be left out, the earlier summary in it."""
        told = [f"{HEADING}\n{self._summary}"] if self._summary else []
        told += [f"{message['role']}: {message['content']}" for message in self._before()[self._covered : self.summary_due()]]
        body = {key: value for key, value in self._body.items() if key not in _SHAPING}
        told_all = "\n\n".join(told)
        return {**body, "messages": [{"role": "system", "content": SUMMARISE}, {"role": "user", "content": told_all}]}

    def resume(self, notes: tuple[Json, ...]) -> list[Json]:
        """Take up turns and summaries that earlier runs finished, as far as they fit on each other; gives those taken."""
        taken = []
        for note in notes:
            text, entry = note.get("text"), note.get("entry")
            if not isinstance(text, str) or not isinstance(entry, dict) or note.get("turn") != self.turn + 1:
                continue
            covers = note.get("covers")
            if covers is None and not self.is_last:
                self.answered(text, entry)
            elif covers == self.summary_due():
                self.summarised(text, covers, entry)
            else:
                continue
            taken.append(note)
        return taken

    def _before(self) -> list[Json]:
        """What was said so far, question and answer by turns, without the opening."""
        return [
            message
            for one in self.said
            for message in ({"role": "user", "content": one.question}, {"role": "assistant", "content": one.text})
        ]


_SHAPING = frozenset({"response_format", "tools", "tool_choice", "n", "stop", "logprobs", "top_logprobs", "logit_bias"})
"""What shapes the answers of a conversation and would spoil a summary of it."""


def _tokens(message: Json) -> int:
    return TOKENS_PER_MESSAGE + -(-len(content_text(message["content"]).encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def opening(messages: list[Json], system: str | None) -> list[Json]:
    """What a conversation begins with: the line's own messages, with its system message in front."""
    if system is None:
        return messages
    if any(isinstance(one, dict) and one.get("role") in SYSTEM_ROLES for one in messages):
        raise ValueError("'system' stands beside a system message; keep one")
    return [{"role": "system", "content": system}, *messages]
