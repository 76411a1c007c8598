"""A record as rows of the table: the facts every record has, the answer's fields, the input's columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from batchllm.endpoints.chat_completions import ENDPOINT as CHAT
from batchllm.endpoints.completions import ENDPOINT as COMPLETIONS
from batchllm.endpoints.responses import ENDPOINT as RESPONSES
from batchllm.errors import ExitCode, JobError
from batchllm.export.cells import Cells, StrayError
from batchllm.export.shape import Column, Kind, Shape, columns
from batchllm.records import TOKENS
from batchllm.strictjson import dumps
from batchllm.types import Json

PARSED, METADATA, INPUT = "parsed", "metadata", "input"
_HEAD = (Column("custom_id", Kind.TEXT), Column("line", Kind.INT))
_ANSWER = (Column("answer", Kind.TEXT),)
_TAIL = (
    Column("reasoning", Kind.TEXT), Column("finish_reason", Kind.TEXT), Column("model", Kind.TEXT),
    Column("prompt_tokens", Kind.INT), Column("completion_tokens", Kind.INT), Column("total_tokens", Kind.INT),
    Column("cached_tokens", Kind.INT), Column("reasoning_tokens", Kind.INT), Column("cost_usd", Kind.FLOAT),
    Column("attempts", Kind.INT), Column("latency_s", Kind.FLOAT), Column("error_code", Kind.TEXT),
    Column("error_message", Kind.TEXT),
)  # fmt: skip
_SIMULATED = Column("simulated", Kind.BOOL)
_DUPLICATE = Column("duplicate_of", Kind.TEXT)
INDEX = "_index"
"""The column that numbers the elements of an exploded list, from 1."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the parts of a row that differ from job to job look like."""

    parsed: Shape
    metadata: Shape
    input: Shape | None = None
    duplicates: bool = False
    """Whether any line was answered by the record of another one."""


class RowMaker:
    """Rows for records, and the columns they fill. Raises `StrayError` where a value does not fit its column."""

    def __init__(self, shapes: Shapes, explode: str | None = None, *, simulated: bool = False) -> None:
        self._explode = None if explode is None else explode.removeprefix(f"{PARSED}.")
        self._simulated = simulated
        self._duplicates = shapes.duplicates
        parsed, self._elements = _parted(shapes.parsed, self._explode)
        self._parsed, self._wide = Cells(parsed, without=self._explode), parsed.kind is not Kind.NOTHING
        self._facts = Cells(shapes.metadata)
        self._has_facts = shapes.metadata.kind is not Kind.NOTHING
        self._input = None if shapes.input is None else Cells(shapes.input)
        self.columns = tuple(self._columns(parsed, shapes))
        self._null_element = [None] * (1 + (self._elements.width if self._elements else 0))

    def _columns(self, parsed: Shape, shapes: Shapes) -> Iterator[Column]:
        own = [*_HEAD, *_ANSWER]
        if self._wide:
            kept = {name: one for name, one in parsed.fields.items() if name != self._explode}
            if parsed.kind is Kind.OBJECT:
                own += [column for name, one in kept.items() for column in columns(one, f"{PARSED}.{name}")]
            else:
                own += columns(parsed, PARSED)
        if self._elements is not None:
            own.append(Column(f"{PARSED}.{self._explode}.{INDEX}", Kind.INT))
            own += columns(_items(shapes.parsed, self._explode), f"{PARSED}.{self._explode}")
        if self._has_facts:
            own += columns(shapes.metadata, METADATA)
        own += [*_TAIL, *([_SIMULATED] if self._simulated else []), *([_DUPLICATE] if self._duplicates else [])]
        taken = {column.name for column in own}
        given = [] if shapes.input is None else [*shapes.input.fields.items()]
        names = [(f"{INPUT}.{name}" if name in taken else name, one.kind or Kind.TEXT) for name, one in given]
        return iter([*own[:2], *(Column(*one) for one in names), *own[2:]])

    def rows(self, line: int, record: Json, beside: Json | None) -> list[list[Any]]:
        """One row, or one for each element of an exploded list (an empty list has one too)."""
        facts = record["batchllm"]
        response = record["response"]
        body = None if response is None else response["body"]
        row = [record["custom_id"], line]
        if self._input is not None:
            self._input.fill(beside, row)
        text, finish, model, reasoning = answer_of(body)
        row.append(text)
        parsed = facts.get("parsed")
        if self._wide:
            self._parsed.fill(parsed, row)
        elif parsed is not None:
            raise StrayError
        at = len(row)
        if self._has_facts:
            self._facts.fill(facts.get("metadata"), row)
        elif facts.get("metadata"):
            raise StrayError
        row += (facts.get("reasoning") or reasoning, finish, facts.get("model") or model)
        row += _gotten(_TOKENS, _tokens, facts.get("usage") or _NOTHING)
        row += _gotten(_SPENT, _spent, facts)
        error = record["error"]
        row += _NO_ERROR if error is None else (error.get("code"), error.get("message"))
        if self._simulated:
            row.append(facts.get("simulated", False))
        if self._duplicates:
            row.append(facts.get("duplicate_of"))
        elif "duplicate_of" in facts:
            raise StrayError
        if self._elements is None:
            return [row]
        return [[*row[:at], *one, *row[at:]] for one in self._exploded(parsed)]

    def _exploded(self, parsed: Any) -> list[list[Any]]:
        elements = parsed.get(self._explode) if isinstance(parsed, dict) else None
        if not elements:
            return [self._null_element]
        assert self._elements is not None
        if type(elements) is not list:
            raise StrayError
        made = []
        for number, element in enumerate(elements, 1):
            cells: list[Any] = [number]
            self._elements.fill(element, cells)
            made.append(cells)
        return made


_NOTHING: Json = {}
_NO_ERROR = (None, None)
_TOKENS = TOKENS
_SPENT = ("cost_usd", "attempts", "latency_s")
_tokens, _spent = itemgetter(*_TOKENS), itemgetter(*_SPENT)


def _gotten(names: tuple[str, ...], all_of_them: Callable[[Json], tuple[Any, ...]], values: Json) -> tuple[Any, ...]:
    """The values by these names, in one call where all are there, as they nearly always are."""
    try:
        return all_of_them(values)
    except KeyError:
        return tuple(map(values.get, names))


def _parted(parsed: Shape, explode: str | None) -> tuple[Shape, Cells | None]:
    if explode is None:
        return parsed, None
    return parsed, Cells(_items(parsed, explode))


def _items(parsed: Shape, explode: str | None) -> Shape:
    """What the elements of the exploded list look like. Raises `JobError` (2) where there is no such list."""
    found = parsed.fields.get(explode or "")
    if found is None or found.kind not in (Kind.JSON, Kind.NOTHING):
        lists = [name for name, one in parsed.fields.items() if one.kind is Kind.JSON]
        hint = f"its lists are {', '.join(lists)}" if lists else "there are no lists in it"
        raise JobError(ExitCode.USAGE, f"--explode {explode}: the answers have no such list; {hint}")
    return found.items or Shape()


def answer_of(body: Any) -> tuple[str | None, str | None, str | None, str | None]:
    """Text, finish reason, model and reasoning of a reply's body; an answer that is no text is its JSON.

    The plain case, a chat completion whose content is a text without reasoning, is read here: it is nearly all of them.
    """
    if type(body) is not dict:
        return None, None, None, None
    model = body.get("model")
    model = model if type(model) is str else None
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text = message["content"]
        if type(text) is str and text and "think>" not in text:
            reasoning = message.get("reasoning_content") or message.get("reasoning")
            finish = choice.get("finish_reason")
            return text, finish if type(finish) is str else None, model, reasoning if type(reasoning) is str else None
    except (KeyError, IndexError, TypeError):
        pass
    return _read(body, model)


def _read(body: Json, model: str | None) -> tuple[str | None, str | None, str | None, str | None]:
    if "output" in body:
        answer = RESPONSES.read(body)
    elif isinstance(body.get("choices"), list):
        first = body["choices"][0] if body["choices"] else {}
        answer = (CHAT if isinstance(first, dict) and "message" in first else COMPLETIONS).read(body)
    else:
        found = next((body[name] for name in ("data", "results") if isinstance(body.get(name), list)), None)
        return None if found is None else dumps(found).decode(), None, model, None
    return answer.text, answer.finish_reason, answer.model or model, answer.reasoning
