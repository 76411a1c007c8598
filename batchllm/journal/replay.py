"""Reading back what runs have written: a fold over whole lines, one record at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from batchllm.errors import ExitCode, JobError
from batchllm.journal.envelope import id_and_facts
from batchllm.journal.index import JobIndex, State
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.journal.soundness import is_digest
from batchllm.journal.superseded import mark, superseded
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.strictjson import loads
from batchllm.tally import fields_of
from batchllm.types import Json

MAX_RECORD = 1 << 30
T = TypeVar("T")


def records(path: Path) -> Iterator[tuple[int, Json]]:
    """Each whole record and its line number; see `whole_lines`."""
    return ((number, record) for number, _, record in whole_lines(path, _object))


def whole_lines(path: Path, read: Callable[[bytes], T]) -> Iterator[tuple[int, bytes, T]]:
    """Each line with its number, its bytes and what `read` makes of it; none if there is no such file.

    An unfinished last line is left out (a run may be writing it). Raises `JobError` (65) where `read` raises ValueError,
    TypeError or KeyError for a line in the middle: the folder is damaged, and going on would buy again what that line held.
    """
    if not path.exists():
        return
    bad = 0
    for number, raw in raw_lines(path, MAX_RECORD):
        if bad:
            raise damaged(path, bad)
        if not raw:
            continue
        try:
            value = read(_bytes(raw))
        except (ValueError, TypeError, KeyError):
            bad = number
            continue
        assert isinstance(raw, bytes)
        yield number, raw, value
    if bad and _ends_whole(path):
        raise damaged(path, bad)


def _bytes(raw: bytes | TooLong) -> bytes:
    if isinstance(raw, TooLong):
        raise ValueError("above the cap")
    return raw


def _object(raw: bytes) -> Json:
    value = loads(raw)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


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
    """Marks in `index` what earlier runs finished, and hands over everything that was paid for.

    A result counts where its `custom_id` is in the job, its content is still the same and its settings are among
    `accepted`. A failure counts likewise, unless it may pass by itself or `retry_failed` is set. Answers to lines that
    are gone from the job are counted in `removed`, changed lines in `changed`. `spent` is called with every record and
    note there is, also those that no longer count; `failed` with the line and record of what stays failed.
    """

    def __init__(
        self,
        index: JobIndex,
        accepted: frozenset[str],
        *,
        retry_failed: bool,
        spent: Callable[[Json], None],
        failed: Callable[[int, Json], None],
    ) -> None:
        self._index = index
        self._accepted = accepted
        self._retry_failed = retry_failed
        self._spent = spent
        self._failed = failed
        self._failures: dict[int, Json] = {}
        self._fields: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.superseded = 0
        self.removed: list[str] = []
        self.removed_count = 0
        self.changed = 0
        self.begun: dict[int, list[Json]] = {}
        """Turns of conversations that were begun and not finished, by line."""

    def read(self, folder: Path) -> None:
        moved = set()
        for key, record in superseded(folder):
            moved.add(key)
            self._spent(record)
        path = folder / RESULTS
        for number, raw, (custom_id, facts) in whole_lines(path, id_and_facts):
            if type(facts) is not dict or not is_digest(facts.get("digest")):
                raise damaged(path, number)
            if not moved or mark(raw) not in moved:
                self._spent({"batchllm": facts})
            self._result(custom_id, facts)
        for _, note in records(folder / ATTEMPTS):
            final = note.get("record")
            self._spent(final if isinstance(final, dict) else note)
            self._attempt(note)
        for line, record in self._failures.items():
            if self._index.state(line) is State.FAILED:
                self._failed(line, record)

    def _result(self, custom_id: str, facts: Json) -> None:
        line = self._index.find(custom_id)
        if not line:
            self._remove(custom_id)
            return
        if self._index.state(line) is State.DONE:
            self.superseded += 1
        current = self._current(line, facts)
        self.changed += not current
        self._index.set(line, State.DONE if current else State.PENDING)

    def _attempt(self, note: Json) -> None:
        custom_id, record = note.get("custom_id"), note.get("record")
        line = self._index.find(custom_id) if isinstance(custom_id, str) else 0
        if not line or self._index.state(line) in (State.DONE, State.INVALID):
            return
        if not isinstance(record, dict):
            if "turn" in note and self._index.wanted(line) and self._current(line, note):
                self.begun.setdefault(line, []).append(note)
            return
        facts: Any = record.get("batchllm") or {}
        if not self._current(line, facts):
            return
        open_again = self._retry_failed or facts.get("retryable")
        self._index.set(line, State.RETRY if open_again else State.FAILED)
        if not open_again:
            self.begun.pop(line, None)
            fields = fields_of(facts)
            shared = self._fields.setdefault(fields, fields)  # one copy for all lines that failed alike
            self._failures[line] = {"custom_id": custom_id, "error": record.get("error"), "fields": shared}

    def _current(self, line: int, facts: Json) -> bool:
        digest = facts.get("digest")
        return isinstance(digest, str) and self._index.same(line, digest) and facts.get("settings") in self._accepted

    def _remove(self, custom_id: str) -> None:
        self.removed_count += 1
        if len(self.removed) < 5:
            self.removed.append(custom_id)
