"""Two runs held against each other, line by line: in about 35 bytes a line."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path

from batchllm.export.rows import answer_of
from batchllm.journal.index import JobIndex
from batchllm.journal.journal import RESULTS
from batchllm.journal.manifest import read_manifest
from batchllm.journal.replay import MAX_RECORD
from batchllm.journal.soundness import is_digest, parsed
from batchllm.reports.html.reservoir import Reservoir
from batchllm.reports.html.rows import Row, row_of
from batchllm.sources.raw_lines import raw_lines
from batchllm.strictjson import canonical
from batchllm.types import Json

SHOWN = 400
_MISSING, _SAME, _CHANGED = 0, 1, 2


@dataclass(slots=True)
class Pair:
    """A line that both runs answered, and differently."""

    before: Row
    after: Row


@dataclass(slots=True)
class Changes:
    """What became of the lines answered in either run. `other_request` counts those of the common ones that asked something
    else; `pairs` is a fair choice of `changed`.
    """

    same: int = 0
    changed: int = 0
    other_request: int = 0
    only_before: int = 0
    only_after: int = 0
    pairs: list[Pair] = field(default_factory=list)


def changes(before: Path, after: Path) -> Changes:
    """Compare by `custom_id`. Where a line stands in the results twice, the last record counts."""
    index, answers = JobIndex(), array("Q", [0])
    for custom_id, record in _records(before):
        known = index.add(len(answers), custom_id, record["batchllm"]["digest"])
        if known:
            answers[known] = _digest(record)
        else:
            answers.append(_digest(record))
    state, others, new = bytearray(len(answers)), bytearray(len(answers)), JobIndex()
    chosen: Reservoir[Json] = Reservoir(SHOWN)
    for custom_id, record in _records(after):
        number = index.find(custom_id)
        if not number:
            new.add(new.last_line + 1, custom_id, "")
            continue
        others[number] = not index.same(number, record["batchllm"]["digest"])
        differs = answers[number] != _digest(record)
        if differs:
            (chosen.replace if state[number] == _CHANGED else chosen.offer)(number, partial(_kept, record))
        state[number] = _CHANGED if differs else _SAME
    later = {record["custom_id"]: record for record in chosen.values() if state[index.find(record["custom_id"])] == _CHANGED}
    same, changed = state.count(_SAME), state.count(_CHANGED)
    return Changes(same, changed, others.count(1), len(index) - same - changed, len(new), _pairs(before, later))


def _kept(record: Json) -> Json:
    return record


def _pairs(folder: Path, later: dict[str, Json]) -> list[Pair]:
    earlier = {custom_id: row_of(record) for custom_id, record in _records(folder) if custom_id in later}
    pairs = [Pair(row, row_of(later[custom_id])) for custom_id, row in earlier.items()]
    return sorted(pairs, key=lambda pair: pair.after.line)


def _records(folder: Path) -> Iterator[tuple[str, Json]]:
    """Every answer that counts, with its id. Lines that cannot be read are left out."""
    manifest = read_manifest(folder)
    accepted = frozenset(manifest.accepted) if manifest else frozenset()
    path = folder / RESULTS
    if not path.is_file():
        return
    for _, raw in raw_lines(path, MAX_RECORD):
        try:
            record = parsed(raw)
            custom_id, facts = record["custom_id"], record["batchllm"]
            sound = facts["settings"] in accepted and type(custom_id) is str and is_digest(facts["digest"])
        except (ValueError, KeyError, TypeError):
            continue
        if sound:
            yield custom_id, record


def _digest(record: Json) -> int:
    """64 bits of the answer: of the object that was validated, where there is one, else of its text."""
    value = record["batchllm"].get("parsed")
    if value is None:
        response = record.get("response")
        value = answer_of(response.get("body") if isinstance(response, dict) else None)[0]
    return int.from_bytes(blake2b(canonical(value), digest_size=8).digest())
