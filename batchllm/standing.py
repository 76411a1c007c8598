"""What each line of a job has, while a folder is held against it: about 32 bytes a line. Pure but for reading the job."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from batchllm.journal.index import JobIndex, State
from batchllm.sources.job_file import JobFile
from batchllm.survey import Survey, survey
from batchllm.types import BadLine, Request
from batchllm.validation import Schema

NONE, ANSWERED, FAILED, CHANGED, OTHER = range(5)
"""What a line of the job has: no record, an answer, a failure, a record of other content, of other settings."""
OWN = 255
"""The number of a schema that stands in the line itself (or of the 255th and later ones): known to be there, not by heart."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are answered under a schema. `number` gives 0 for none, else a number that `schemas` may know."""

    number: Callable[[Request], int]
    schemas: Mapping[int, Schema]


def wanted_schemas(names: Iterable[str], known: Mapping[str, Schema]) -> Wanted:
    """`names` are the schemas of a run, "" the default; `known` those that can be checked against once more.

    A line's own choice goes first, as it does when it is asked: `schema`, then `response_format`, then the default.
    """
    numbers = {name: min(number, OWN) for number, name in enumerate(sorted(names), 1)}

    def number(request: Request) -> int:
        if request.schema is not None:
            return numbers.get(request.schema, 0)
        own = request.body.get("response_format")
        if own is not None:
            return OWN if isinstance(own, dict) and own.get("type") == "json_schema" else 0
        return numbers.get("", 0) if request.url.endswith(("/chat/completions", "/responses")) else 0

    return Wanted(number, {numbers[name]: schema for name, schema in known.items() if numbers[name] != OWN})


@dataclass(slots=True)
class Lines:
    """The job as it is now: its index, and for each line what it has (`marks`) and which record of results that is."""

    found: Survey
    last: int
    """The last line within the run's `--limit`."""
    schema: bytearray
    marks: bytearray
    records: array[int]

    @property
    def index(self) -> JobIndex:
        return self.found.index

    def counts(self) -> dict[str, int]:
        """As `request_counts` of a summary: the lines within the limit, by where they stand."""
        end = self.last + 1
        answered, failed = self.marks.count(ANSWERED, 0, end), self.marks.count(FAILED, 0, end)
        invalid = sum(line < end for line in self.index.lines(State.INVALID))
        total = sum(state is not State.BLANK for state in map(self.index.state, range(end)))
        return {"total": total, "completed": answered, "failed": failed, "pending": total - answered - failed,
                "invalid_lines": invalid}  # fmt: skip


def read_lines(job: JobFile, limit: int | None, wanted: Wanted) -> Lines:
    """Read the whole job, also what lies beyond the limit."""
    schema = bytearray()
    last = 0

    def counted() -> Iterator[Request | BadLine]:
        nonlocal last
        for number, one in enumerate(job, 1):
            if limit is None or number <= limit:
                last = one.line
            yield one

    def watch(request: Request) -> None:
        number = wanted.number(request)
        if number:
            schema.extend(bytes(request.line + 1 - len(schema)))
            schema[request.line] = number

    found = survey(counted(), None, watch)
    size = found.last_line + 1
    schema.extend(bytes(size - len(schema)))
    return Lines(found, last, schema, bytearray(size), array("I", bytes(4 * size)))
