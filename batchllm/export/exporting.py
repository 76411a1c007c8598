"""The export on one page: find the records, learn the columns, write the rows; once more, all values seen, if one strays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.export.cells import StrayError
from batchllm.export.companion import Companion, Open
from batchllm.export.places import Places, job_line_id, located
from batchllm.export.reader import Reader
from batchllm.export.rows import RowMaker, Shapes
from batchllm.export.shape import Column, Kind, Shape, merged, of_schema
from batchllm.journal.manifest import Manifest
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.sources.tables import Row
from batchllm.strictjson import loads
from batchllm.types import Json

SAMPLE = 1000
"""Records looked at before the first row is written, where the schema does not say everything."""
BATCH_ROWS = 4096
LONGEST = 1 << 28

Take = Callable[[list[list[Any]]], object]
OpenSink = Callable[[tuple[Column, ...]], AbstractContextManager[Take]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be exported. `job` is the job file, None where it is gone; `everything` wants pending lines too."""

    folder: Path
    manifest: Manifest
    job: Path | None = None
    open_input: Open | None = None
    on: str | None = None
    explode: str | None = None
    everything: bool = False
    once: bool = False
    """What is written cannot be taken back (a pipe): every value is looked at before the first row."""


@dataclass(slots=True)
class Exported:
    """What was written, and what was not: pending lines, answers to lines or settings that are gone."""

    rows: int = 0
    answered: int = 0
    failed: int = 0
    pending: int = 0
    removed: int = 0
    outdated: int = 0
    columns: tuple[Column, ...] = field(default=())

    def as_json(self) -> Json:
        return {"rows": self.rows, "answered": self.answered, "failed": self.failed, "pending": self.pending,
                "removed": self.removed, "outdated": self.outdated, "columns": len(self.columns)}  # fmt: skip


def export(wish: Wish, open_sink: OpenSink) -> Exported:
    """Write the table. Raises `JobError` (2, 65, 74); then nothing is left behind."""
    places = located(wish.folder, wish.job)
    promised = _promised(wish.manifest)
    for seen in (None,) if wish.once else (SAMPLE, None):
        maker = RowMaker(_shapes(wish, places, promised, seen), wish.explode, simulated=wish.manifest.simulated)
        try:
            with open_sink(maker.columns) as take:
                return _written(wish, places, maker, take)
        except StrayError:
            continue
    raise JobError(ExitCode.SOFTWARE, "a value fits no column, even after all of them were seen; please report this")


def _written(wish: Wish, places: Places, maker: RowMaker, take: Take) -> Exported:
    done = Exported(removed=places.removed, columns=maker.columns)
    waiting: list[list[Any]] = []
    with ExitStack() as open_things:
        beside = None
        if wish.open_input is not None:
            beside = open_things.enter_context(closing(Companion(wish.open_input, wish.on)))
        reader = open_things.enter_context(closing(Reader(wish.folder, places, frozenset(wish.manifest.accepted))))
        for line, record in _records(wish, places, reader, done):
            waiting += maker.rows(line, record, None if beside is None else beside.row(record))
            if len(waiting) >= BATCH_ROWS:
                take(waiting)
                done.rows += len(waiting)
                waiting = []
        take(waiting)
        done.rows += len(waiting)
        done.outdated = reader.outdated
    return done


def _records(wish: Wish, places: Places, reader: Reader, done: Exported) -> Iterator[tuple[int, Json]]:
    if wish.everything and wish.job is not None:
        for line, raw in raw_lines(wish.job, LONGEST):
            if raw and not (isinstance(raw, bytes) and raw.isspace()):
                yield line, _counted(done, reader.record(line)) or _pending(line, raw)
        return
    index = places.index
    for line in range(1, places.last_line + 1):
        record = reader.record(line)
        if record is not None:
            _counted(done, record)
            yield line, record
        elif index is not None and line <= index.last_line and index.state(line):
            done.pending += 1


def _counted(done: Exported, record: Json | None) -> Json | None:
    if record is None:
        done.pending += 1
    elif record["error"] is None:
        done.answered += 1
    else:
        done.failed += 1
    return record


def _pending(line: int, raw: bytes | TooLong) -> Json:
    """A line without a record, in the form of one."""
    custom_id, metadata = f"line-{line}", None
    if isinstance(raw, bytes):
        custom_id = job_line_id(raw, line) or custom_id
        try:
            metadata = loads(raw).get("metadata")
        except (ValueError, AttributeError):
            metadata = None
    facts = {"metadata": metadata} if isinstance(metadata, dict) else {}
    error = {"code": "pending", "message": "there is no record of this line yet"}
    return {"custom_id": custom_id, "response": None, "error": error, "batchllm": facts}


# -- what the columns are ----------------------------------------------------------------------------------------


def _promised(manifest: Manifest) -> Shape:
    """What the schemas of the run promise of `parsed`."""
    found = Shape()
    schemas = manifest.shaping.get("schema")
    for schema in schemas.values() if isinstance(schemas, dict) else ():
        if isinstance(schema, dict):
            found = merged(found, of_schema(schema))
    return found


def _shapes(wish: Wish, places: Places, promised: Shape, seen: int | None) -> Shapes:
    """From the schema and the first `seen` records (all for None), and so for the input's rows."""
    parsed, metadata, duplicates = merged(promised, Shape()), Shape(), False
    with closing(Reader(wish.folder, places, frozenset(wish.manifest.accepted))) as reader:
        records = _records(wish, places, reader, Exported())
        for _, record in islice(records, seen):
            facts = record["batchllm"]
            parsed.see(facts.get("parsed"))
            metadata.see(facts.get("metadata"))
            duplicates = duplicates or "duplicate_of" in facts
    return Shapes(parsed, metadata, None if wish.open_input is None else _input_shape(wish.open_input, seen), duplicates)


def _input_shape(open_input: Open, seen: int | None) -> Shape:
    """One column for each of the table's, whatever its cells hold."""
    with open_input() as table:
        shape = Shape(Kind.OBJECT, {name: Shape(flat=True) for name in table.columns or ()})
        for row in islice(table.rows, seen):
            if isinstance(row, Row):
                for name, value in row.values.items():
                    shape.fields.setdefault(name, Shape(flat=True)).see(value)
    return shape
