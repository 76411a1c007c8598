"""A table through a recipe into a job, one row at a time: good rows become lines, bad ones are told and left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice

from batchllm.errors import ExitCode, JobError
from batchllm.prompting.lines import JobLines, Recipe
from batchllm.prompting.sample import sample
from batchllm.prompting.template import ROW, PromptError
from batchllm.sources.tables import BadRow, Row, Table
from batchllm.types import Json

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows: the first `limit`, or `size` of them drawn with `seed`."""

    limit: int | None = None
    size: int | None = None
    seed: int = 0

    def __call__(self, rows: Iterable[Row | BadRow]) -> Iterator[Row | BadRow]:
        chosen = iter(rows) if self.limit is None else islice(rows, self.limit)
        return chosen if self.size is None else sample(chosen, self.size, self.seed)


@dataclass(slots=True)
class Built:
    """What was made of how much; the first few bad rows by number, with what is wrong."""

    rows: int = 0
    lines: int = 0
    bad_rows: int = 0
    bad: list[BadRow] = field(default_factory=list)

    def refuse(self, bad: BadRow) -> None:
        self.bad_rows += 1
        if len(self.bad) < SHOWN:
            self.bad.append(bad)

    def as_json(self) -> Json:
        bad = [{"row": one.number, "message": one.message} for one in self.bad]
        return {"rows": self.rows, "lines": self.lines, "bad_rows": self.bad_rows, "bad": bad}


def build(table: Table, recipe: Recipe, choice: Choice, take: Callable[[bytes], object]) -> Built:
    """Hand every line to `take`, in the table's order. Raises `JobError` (2) for columns the whole table lacks."""
    if table.columns is not None:
        _refuse_missing(recipe.columns, table.columns)
    built, lines = Built(), JobLines(recipe)
    for row in choice(table.rows):
        built.rows += 1
        if isinstance(row, BadRow):
            built.refuse(row)
            continue
        try:
            made = lines.lines(row)
        except PromptError as error:
            built.refuse(BadRow(row.number, str(error)))
            continue
        built.lines += len(made)
        for line in made:
            take(line)
    return built


def _refuse_missing(wanted: frozenset[str], columns: tuple[str, ...]) -> None:
    lacking = sorted(wanted - set(columns))
    if not lacking:
        return
    near = get_close_matches(lacking[0], columns, n=1, cutoff=0.6)
    hint = f"the nearest is '{near[0]}'" if near else f"it has {', '.join(columns)[:200]}"
    odd = "" if all(name.isidentifier() for name in columns) else f'; odd names are written {{{{ {ROW}["Unit price"] }}}}'
    raise JobError(ExitCode.USAGE, f"the table has no column '{lacking[0]}'; {hint}{odd}")
