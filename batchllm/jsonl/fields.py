"""`set FIELD=VALUE`: one field of every line, by a dotted path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.prompting.variants import scalar
from batchllm.types import Json

_ENVELOPE = frozenset({"custom_id", "method", "url", "body", "metadata", "schema"})


class FieldError(ValueError):
    """Why a line cannot take the change; the text is a sentence without the line's number."""


@dataclass(frozen=True, slots=True)
class Change:
    """Set a field, or take it away. In a line of the Batch form, a field of the request is meant in its body."""

    path: tuple[str, ...]
    value: Any = None
    delete: bool = False

    def apply(self, values: Json) -> None:
        """Change a line in place. Raises `FieldError` where the path leads through what is no object."""
        inside: Any = values
        if isinstance(values.get("body"), dict) and self.path[0] not in _ENVELOPE:
            inside = values["body"]
        for at, name in enumerate(self.path[:-1], 1):
            if name not in inside and self.delete:
                return
            inside = inside.setdefault(name, {})
            if type(inside) is not dict:
                raise FieldError(f"'{'.'.join(self.path[:at])}' is no object")
        if self.delete:
            inside.pop(self.path[-1], None)
        else:
            inside[self.path[-1]] = self.value


def changes(assignments: Sequence[str], deleted: Sequence[str]) -> list[Change]:
    """`temperature=0` sets (JSON where it is valid JSON, else text), `--delete temperature` takes away."""
    made = []
    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign:
            raise JobError(ExitCode.USAGE, f"'{text}' is no FIELD=VALUE, such as temperature=0 or body.model=gpt-4o-mini")
        made.append(Change(_path(name), scalar(value)))
    return made + [Change(_path(name), delete=True) for name in deleted]


def _path(name: str) -> tuple[str, ...]:
    path = tuple(name.strip().split("."))
    if not all(path):
        raise JobError(ExitCode.USAGE, f"'{name}' is no field: names are parted by single dots")
    return path
