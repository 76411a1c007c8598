"""Which step answers which request.

Rules:
* only POST requests use steps up; any other request (a model list, a health probe) is answered by `aside`;
* rules are asked in order, the first that matches gives its next step; a used-up rule matches no more;
* what no rule answers gets `then`;
* a script is data: `player()` gives the moving part, one per server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .builders import json_reply, ok_chat
from .steps import Step


@dataclass(frozen=True)
class Request:
    """One fully received request. `number` counts on its connection, both count from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    number: int
    at: float

    @cached_property
    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @cached_property
    def text(self) -> str:
        """What the last user message says; of other endpoints the prompt or the input."""
        body = self.json if isinstance(self.json, dict) else {}
        messages = body.get("messages", body.get("input"))
        if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
            users = [message for message in messages if message.get("role") == "user"]
            return _plain((users or messages)[-1].get("content"))
        return _plain(messages if messages is not None else body.get("prompt"))


Reply = Step | Callable[[Request], Step]
When = Callable[[Request], bool]


def always(request: Request) -> bool:
    """Matches every request."""
    return True


def says(text: str) -> When:
    """Matches requests whose last user message is exactly `text`."""
    return lambda request: request.text == text


def mentions(text: str) -> When:
    """Matches requests whose last user message contains `text`."""
    return lambda request: text in request.text


def echo(request: Request) -> Step:
    """Answers with the last user message, so that a test can tell whose answer it is."""
    return ok_chat(content=f"echo: {request.text}")


@dataclass(frozen=True)
class Rule:
    """The next of `steps` for each request that `when` matches."""

    steps: tuple[Reply, ...]
    when: When = always


MODELS = json_reply({"object": "list", "data": [{"id": "test-model", "object": "model"}]})


@dataclass(frozen=True)
class Script:
    """Rules, and what answers when they are used up."""

    rules: tuple[Rule, ...] = ()
    then: Reply = echo
    aside: Reply = MODELS

    @classmethod
    def of(cls, source: ScriptLike) -> Script:
        """A script from a step, a list of steps in order, a function, or a script."""
        if isinstance(source, Script):
            return source
        if isinstance(source, Step) or callable(source):
            return cls(then=source)
        return cls(rules=(Rule(tuple(source)),))

    @classmethod
    def by_text(cls, steps: Mapping[str, Iterable[Reply]], then: Reply = echo) -> Script:
        """Each last-user-message text with its own steps in order."""
        return cls(tuple(Rule(tuple(replies), says(text)) for text, replies in steps.items()), then)

    def player(self) -> Callable[[Request], Step]:
        """A function that answers requests in their order, and remembers how far it is."""
        used = [0] * len(self.rules)

        def play(request: Request) -> Step:
            reply = self.aside if request.method != "POST" else self._next(request, used)
            return reply if isinstance(reply, Step) else reply(request)

        return play

    def _next(self, request: Request, used: list[int]) -> Reply:
        for i, rule in enumerate(self.rules):
            if used[i] < len(rule.steps) and rule.when(request):
                used[i] += 1
                return rule.steps[used[i] - 1]
        return self.then


ScriptLike = Script | Step | Sequence[Reply] | Callable[[Request], Step]


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and "text" in part)
    return ""
