"""The files of a folder that follow from its journal: written anew at the end of each run."""

from __future__ import annotations

from pathlib import Path

import orjson

from batchllm.journal.compaction import compact
from batchllm.journal.errors_file import write_errors
from batchllm.journal.index import State
from batchllm.journal.storage import Storage, write_whole
from batchllm.opening import Opened
from batchllm.parts import Parts
from batchllm.sinks.ordered import write_ordered
from batchllm.strictjson import dumps
from batchllm.survey import bad_lines
from batchllm.types import Json


def write_derived(parts: Parts, opened: Opened, summary: Json) -> None:
    """`errors.jsonl`, `summary.json` and, where asked for, `results.ordered.jsonl`. Raises `OSError` if the disk refuses.

    Where every line is settled, the results that later ones took the place of are moved aside first.
    """
    index, replayed = opened.survey.index, opened.replayed
    if (replayed.superseded or replayed.changed) and not index.count(State.PENDING, State.RETRY):
        compact(parts.storage, parts.folder, index, lambda line, record: True)
    bad = bad_lines(parts.job, index) if index.count(State.INVALID) else ()
    write_errors(parts.storage, parts.folder, index, bad)
    if parts.settings.ordered:
        write_ordered(parts.storage, parts.folder, index)
    write_summary(parts.storage, parts.folder, summary)


def write_summary(storage: Storage, folder: Path, summary: Json) -> None:
    """Raises `OSError`."""
    write_whole(storage, folder / "summary.json", _indented(summary))


def _indented(value: Json) -> bytes:
    """A summary for people to read: its series, hundreds of numbers, on a line each."""
    series = [orjson.Fragment(orjson.dumps(one)) for one in value.get("series", ())]
    try:
        return orjson.dumps(value | {"series": series}, option=orjson.OPT_INDENT_2) + b"\n"
    except TypeError:  # half a surrogate pair in somebody's message
        return dumps(value) + b"\n"
