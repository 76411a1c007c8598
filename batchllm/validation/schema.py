"""A schema answers are held to: what is sent to the server, and the check of what comes back.

`models` makes one of a pydantic model, `documents` of a JSON Schema document. The check is ours in every
case, whatever the server promises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from batchllm.types import Json
from batchllm.validation.timebox import TimeUp

TIME_LIMIT_S = 5.0
"""For the Python code a schema may bring with it."""
MAX_PROBLEMS = 20
MAX_MESSAGE = 300
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a value. `path` is dotted (`line_items.0.quantity`), empty for the whole."""

    path: str
    message: str

    @classmethod
    def at(cls, keys: Iterable[str | int], message: str) -> Problem:
        return cls(".".join(map(str, keys)), message[:MAX_MESSAGE])


Check = Callable[[Any], tuple[Any, list[Problem]]]


@dataclass(frozen=True, slots=True)
class Schema:
    """`json_schema` goes to the server under `name`; `strict` says whether strict mode takes it."""

    name: str
    json_schema: Json
    strict: bool
    check: Check = field(repr=False, compare=False)

    def validate(self, value: Any) -> tuple[Any, list[Problem]]:
        """The value as the schema reads it and no problems, or None and what is wrong with it.

        Whatever a validator written by the user raises is a problem of the answer; so is taking longer than
        `TIME_LIMIT_S`. Only what stops the process or the task passes: `KeyboardInterrupt`, `CancelledError`.
        """
        try:
            parsed, problems = self.check(value)
        except TimeUp:
            problems = [Problem("", f"the validator did not finish within {TIME_LIMIT_S:g} s")]
        except BaseException as error:
            if not _is_failure(error):
                raise
            problems = [Problem("", f"the validator failed: {describe(error)}")]
        return (None, problems) if problems else (parsed, [])


def _is_failure(error: BaseException) -> bool:
    """A panic of compiled code (pydantic-core, jsonschema_rs) is no `Exception`, and its class not public."""
    return isinstance(error, Exception | SystemExit) or type(error).__name__ == "PanicException"


def describe(error: BaseException) -> str:
    """An exception in one short line, even if it cannot say itself."""
    try:
        text = " ".join(str(error).split())[:MAX_MESSAGE]
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def legal_name(text: str) -> str:
    """As endpoints want a schema's name: at most 64 letters, digits, `_` and `-`."""
    return _NOT_IN_NAMES.sub("_", text)[:64] or "answer"
