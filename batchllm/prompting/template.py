"""Prompt templates: Jinja2 in its sandbox, where a name that is not there is an error and never an empty text.

A template folder holds `user.j2` (or .txt, .md), and if wanted `system.j2` (.txt, .md) and `examples.jsonl`, whose lines are
`{"user": …, "assistant": …}` or `{"messages": […]}`. A column that only stands in conditions may be empty, and so may one
with a `default`; every other column a template uses has to have something in it. `row` is the whole row, for columns
whose names are no identifiers: `{{ row["Unit price"] }}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchllm.errors import ExitCode, JobError
from batchllm.strictjson import dumps, loads
from batchllm.types import Json

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

ENDINGS = (".j2", ".jinja", ".txt", ".md")
ROW = "row"


class PromptError(ValueError):
    """Why a row becomes no line; the text is a sentence without the row's number."""


@dataclass(frozen=True, slots=True)
class Part:
    """One compiled text. `required` are the columns it cannot do without, `used` all it names."""

    render: Callable[..., str]
    used: frozenset[str]
    required: frozenset[str]
    where: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one row is asked with."""

    user: str
    system: str | None


class PromptTemplate:
    """The texts of a prompt and the examples that go before it."""

    def __init__(self, user: Part, system: Part | None = None, examples: tuple[Json, ...] = ()) -> None:
        self._user, self._system = user, system
        self.examples = examples
        parts = (user,) if system is None else (user, system)
        self.used = frozenset().union(*(part.used for part in parts))
        self._required = sorted(frozenset().union(*(part.required for part in parts)))

    def prompt(self, values: Json) -> Prompt:
        """Raises `PromptError` for a missing column, an empty cell, and whatever the template itself fails with."""
        for name in self._required:
            _refuse_empty(name, values)
        variables = {ROW: values, **values}
        system = None if self._system is None else _rendered(self._system, variables)
        return Prompt(_rendered(self._user, variables), system)


def _refuse_empty(name: str, values: Json) -> None:
    value = values.get(name)
    if value is None or (type(value) is str and not value.strip()):
        raise PromptError(f"'{name}' is empty" if name in values else f"there is no column '{name}'")


def _rendered(part: Part, variables: Json) -> str:
    try:
        text = part.render(variables)
    except Exception as error:  # a template is a program, and may fail with anything
        raise PromptError(f"{part.where}: {' '.join(str(error).split())[:200] or type(error).__name__}") from None
    if not text.strip():
        raise PromptError(f"{part.where}: nothing came of it for this row")
    return text


def inline(user: str, system: str | None = None) -> PromptTemplate:
    """A template given on the command line. Raises `JobError` (2)."""
    environment = _environment(None)
    return PromptTemplate(
        _part(environment, user, "the prompt"), None if system is None else _part(environment, system, "the system prompt")
    )


def load_template(path: Path, system: str | None = None) -> PromptTemplate:
    """A template file, or a template folder. Raises `JobError` (2)."""
    folder = path if path.is_dir() else None
    environment = _environment(folder)
    given = None if system is None else _part(environment, system, "the system prompt")
    if folder is None:
        return PromptTemplate(_part(environment, _text(path), path.name), given)
    user = _member(folder, "user")
    if user is None:
        raise JobError(ExitCode.USAGE, f"{path} is no template folder: there is no user.j2 (or {', '.join(ENDINGS[1:])}) in it")
    file = _member(folder, "system")
    if given is None and file is not None:
        given = _part(environment, _text(file), file.name)
    return PromptTemplate(_part(environment, _text(user), user.name), given, _examples(folder / "examples.jsonl"))


def _member(folder: Path, stem: str) -> Path | None:
    found = [folder / f"{stem}{ending}" for ending in ENDINGS if (folder / f"{stem}{ending}").is_file()]
    if len(found) > 1:
        raise JobError(ExitCode.USAGE, f"{folder} has both {found[0].name} and {found[1].name}; keep one")
    return found[0] if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise JobError(ExitCode.USAGE, f"the template {path} cannot be read: {reason}") from None


def _environment(folder: Path | None) -> SandboxedEnvironment:
    try:
        from jinja2 import FileSystemLoader, StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise JobError(ExitCode.USAGE, "templates need jinja2: pip install 'batchllm[tables]'") from None
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # prompts are text, not HTML
        loader=None if folder is None else FileSystemLoader(folder),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: "" if value is None else value,
    )
    environment.filters["tojson"] = lambda value: dumps(value).decode()
    return environment


def _part(environment: SandboxedEnvironment, source: str, where: str) -> Part:
    from jinja2 import TemplateError, meta

    try:
        tree = environment.parse(source)
        used = frozenset(meta.find_undeclared_variables(tree)) - {ROW} - set(environment.globals)
        return Part(environment.from_string(source).render, used, used - _optional(tree), where)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise JobError(ExitCode.USAGE, f"{where}{f', line {line}' if line else ''}: {error}") from None


def _optional(tree: Any) -> frozenset[str]:
    """Names a template asks about before it uses them, or has a default for."""
    from jinja2 import nodes

    asked: list[Any] = [node.test for node in tree.find_all((nodes.If, nodes.CondExpr))]
    asked += [node.node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    asked += [node.node for node in tree.find_all(nodes.Test)]
    return frozenset(name.name for one in asked for name in _names(one))


def _names(node: Any) -> Iterable[Any]:
    from jinja2 import nodes

    return [node] if isinstance(node, nodes.Name) else node.find_all(nodes.Name)


def _examples(path: Path) -> tuple[Json, ...]:
    if not path.is_file():
        return ()
    made: list[Json] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            made += _example(line, f"{path}, line {number}")
    return tuple(made)


def _example(line: str, where: str) -> list[Json]:
    try:
        values = loads(line.encode())
    except ValueError as error:
        raise JobError(ExitCode.USAGE, f"{where}: {error}") from None
    if isinstance(values, dict) and isinstance(values.get("messages"), list):
        return list(values["messages"])
    if not isinstance(values, dict) or not values.keys() >= {"user", "assistant"}:
        raise JobError(ExitCode.USAGE, f'{where}: an example is {{"user": …, "assistant": …}} or {{"messages": […]}}')
    return [{"role": role, "content": _said(values[role])} for role in ("user", "assistant")]


def _said(value: Any) -> str:
    """An answer may stand in an example as the JSON it is."""
    return value if isinstance(value, str) else dumps(value).decode()
