"""`--sweep` and `--repeat`: every row once for each combination of values, with an id that says which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.types import Json

_NEVER = frozenset({"custom_id", "method", "url", "body", "metadata", "messages", "prompt", "system"})


@dataclass(frozen=True, slots=True)
class Variant:
    """What one line of a row has beyond the others: an ending of its id, body fields, and facts for its metadata."""

    ending: str = ""
    fields: Json = field(default_factory=dict)
    facts: Json = field(default_factory=dict)


def variants(sweeps: Sequence[str], repeat: int) -> tuple[Variant, ...]:
    """Every combination, the last sweep changing fastest, then the repetitions. Raises `JobError` (2)."""
    named = [_sweep(one) for one in sweeps]
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise JobError(ExitCode.USAGE, f"--sweep: '{max(names, key=names.count)}' is swept twice; give all its values at once")
    made = []
    for values in product(*(choices for _, choices in named)):
        fields = dict(zip(names, values, strict=True))
        ending = "".join(f"/{name}={_shown(value)}" for name, value in fields.items())
        for turn in range(1, repeat + 1):
            more, facts = (f"/repeat={turn}", {"repeat": turn}) if repeat > 1 else ("", {})
            made.append(Variant(ending + more, fields, {**fields, **facts}))
    return tuple(made)


def _sweep(text: str) -> tuple[str, list[Any]]:
    name, sign, values = text.partition("=")
    if not sign or not name.strip() or not values.strip():
        raise JobError(ExitCode.USAGE, f"--sweep is NAME=VALUE,VALUE…, such as temperature=0.1,0.7, not '{text}'")
    found = [scalar(value.strip()) for value in values.split(",") if value.strip()]
    if len({_shown(value) for value in found}) < len(found):
        raise JobError(ExitCode.USAGE, f"--sweep {text}: a value stands there twice")
    return _name(name.strip(), "--sweep"), found


def assignments(texts: Sequence[str]) -> Json:
    """`--set NAME=VALUE` as body fields. Raises `JobError` (2)."""
    made = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise JobError(ExitCode.USAGE, f"--set is NAME=VALUE, such as max_tokens=100, not '{text}'")
        made[_name(name.strip(), "--set")] = scalar(value)
    return made


def _name(name: str, flag: str) -> str:
    if name in _NEVER:
        raise JobError(ExitCode.USAGE, f"{flag}: '{name}' comes from the row and the template")
    return name


def scalar(text: str) -> Any:
    """A value as JSON where it is valid JSON, else as the text it is."""
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return text


def _refused(name: str) -> Any:
    raise ValueError(name)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
