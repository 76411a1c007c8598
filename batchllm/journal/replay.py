"""Reading back what runs have written: a fold over whole lines, one record at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.journal.index import JobIndex, State
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.sources.raw_lines import raw_lines
from batchllm.strictjson import loads
from batchllm.types import Json

MAX_RECORD = 1 << 30


def records(path: Path) -> Iterator[tuple[int, Json]]:
    """Each whole record and its line number; an unfinished last line is left out (a run may be writing it).

    Raises `JobError` (65) for a line in the middle that is no JSON object: the folder is damaged, and going on
    would buy again what that line held.
    """
    bad: int | None = None
    try:
        for number, raw in raw_lines(path, MAX_RECORD):
            if bad is not None:
                raise damaged(path, bad)
            if not raw:
                continue
            try:
                record = loads(raw) if isinstance(raw, bytes) else None
            except ValueError:
                record = None
            if not isinstance(record, dict):
                bad = number
                continue
            yield number, record
    except JobError as error:
        if not path.exists():
            return
        raise error
    if bad is not None and _ends_whole(path):
        raise damaged(path, bad)


def damaged(path: Path, line: int) -> JobError:
    return JobError(
        ExitCode.BAD_DATA,
        f"{path}: line {line} is damaged; `batchllm verify --repair` moves such lines aside (they will be asked again)",
    )


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


class Replay:
    """Marks in `index` what earlier runs finished, and hands every record of this job to `seen`.

    A result counts where its `custom_id` is in the job, its content is still the same and its settings are among
    `accepted`. A failure counts likewise, unless it may pass by itself or `retry_failed` is set. Answers to lines that
    are gone from the job are counted in `removed`, changed lines in `changed`.
    """

    def __init__(
        self, index: JobIndex, accepted: frozenset[str], *, retry_failed: bool, seen: Callable[[int, Json], None]
    ) -> None:
        self._index = index
        self._accepted = accepted
        self._retry_failed = retry_failed
        self._seen = seen
        self.results = 0
        self.superseded = 0
        self.removed: list[str] = []
        self.removed_count = 0
        self.changed = 0
        self.begun: dict[int, list[Json]] = {}
        """Turns of conversations that were begun and not finished, by line."""

    def read(self, folder: Path) -> None:
        for number, record in records(folder / RESULTS):
            self._result(folder / RESULTS, number, record)
        for _, note in records(folder / ATTEMPTS):
            self._attempt(note)

    def _result(self, path: Path, number: int, record: Json) -> None:
        custom_id, facts = record.get("custom_id"), record.get("batchllm")
        if not isinstance(custom_id, str) or not isinstance(facts, dict):
            raise damaged(path, number)
        self.results += 1
        line = self._index.find(custom_id)
        if not line:
            self._remove(custom_id)
            return
        if self._index.state(line) is State.DONE:
            self.superseded += 1
        if not self._current(line, facts):
            self.changed += 1
            self._index.set(line, State.PENDING)
            return
        self._index.set(line, State.DONE)
        self._seen(line, record)

    def _attempt(self, note: Json) -> None:
        record = note.get("record")
        custom_id = note.get("custom_id")
        line = self._index.find(custom_id) if isinstance(custom_id, str) else 0
        if not line:
            return
        if not isinstance(record, dict):
            self._seen(line, note)
            if "turn" in note and self._index.wanted(line) and self._current(line, note):
                self.begun.setdefault(line, []).append(note)
            return
        facts: Any = record.get("batchllm") or {}
        if self._index.state(line) in (State.DONE, State.INVALID) or not self._current(line, facts):
            return
        open_again = self._retry_failed or facts.get("retryable")
        self._index.set(line, State.RETRY if open_again else State.FAILED)
        if not open_again:
            self.begun.pop(line, None)
        self._seen(line, record)

    def _current(self, line: int, facts: Json) -> bool:
        digest = facts.get("digest")
        return isinstance(digest, str) and self._index.same(line, digest) and facts.get("settings") in self._accepted

    def _remove(self, custom_id: str) -> None:
        self.removed_count += 1
        if len(self.removed) < 5:
            self.removed.append(custom_id)
