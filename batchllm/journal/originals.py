"""The record that serves a whole group of equal lines: found once by its place in the journal, read again when it is copied."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from batchllm.journal.envelope import id_and_facts
from batchllm.journal.index import JobIndex, State
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.strictjson import loads
from batchllm.types import Json


class Originals:
    """Where the record of each group of equal lines stands: eight bytes a group.

    A record counts where it is its line's last word, to the same content and under the `settings` of this run. An answer
    goes before a failure. `look` reads on from where it stopped, so that a run's own records are found by a second call.
    """

    def __init__(self, folder: Path, index: JobIndex, group: Callable[[int], int], groups: int, settings: str) -> None:
        self._folder = folder
        self._index = index
        self._group = group
        self._settings = settings
        self._places = array("q", bytes(8 * (groups + 1)))  # offset + 1, negative in the attempts; 0 for none
        self._read = {RESULTS: 0, ATTEMPTS: 0}

    def look(self) -> Iterator[int]:
        """Read what was written since the last call; gives each group whose record was found. Blocking."""
        for at, raw in self._lines(RESULTS):
            custom_id, facts = id_and_facts(raw)
            group = self._serves(custom_id, facts, State.DONE)
            if group and self._places[group] <= 0:
                self._places[group] = at + 1
                yield group
        for at, raw in self._lines(ATTEMPTS):
            record = loads(raw).get("record")
            if not isinstance(record, dict):
                continue
            group = self._serves(record["custom_id"], record["batchllm"], State.FAILED)
            if group and self._places[group] <= 0:
                self._places[group] = -1 - at  # the last word, where a group failed more than once
                yield group

    def _serves(self, custom_id: str, facts: Any, state: State) -> int:
        """The group this record may serve; 0 for none."""
        index = self._index
        line = index.find(custom_id)
        group = self._group(line) if line else 0
        if not group or index.state(line) is not state or facts.get("settings") != self._settings:
            return 0
        return group if index.same(line, facts["digest"]) else 0

    def _lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Each whole line behind the last one read, with its offset."""
        path = self._folder / name
        if not path.exists():
            return
        with path.open("rb") as file:
            at = file.seek(self._read[name])
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                if raw.strip():
                    yield at, raw.rstrip()
                at += len(raw)
                self._read[name] = at

    def known(self, group: int) -> bool:
        return self._places[group] != 0

    def record(self, group: int) -> Json | None:
        """The record that serves this group; None if there is none. Blocking."""
        place = self._places[group]
        if not place:
            return None
        with (self._folder / (RESULTS if place > 0 else ATTEMPTS)).open("rb") as file:
            file.seek(abs(place) - 1)
            value: Json = loads(file.readline())
        found: Json = value if place > 0 else value["record"]
        return found
