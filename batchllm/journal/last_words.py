"""The last word on each `custom_id` of a folder, in about 26 bytes each, without the job at hand."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from batchllm.journal.envelope import id_and_account
from batchllm.journal.ids import Ids
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.journal.replay import MAX_RECORD
from batchllm.journal.soundness import parsed
from batchllm.journal.superseded import superseded
from batchllm.journal.totals import Totals
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.types import Json

LAST_ATTEMPTS = 5
ANSWERED = 1
"""The mark of an answered id; a failed one has the number of its code, from 2 on."""


class Watch(Protocol):
    """Looks on while a folder is read. `again`: the same id was met before, and this record takes the place of that one.

    `number` is the id's own, from 1; `raw` an answer's whole line, of which `facts` leave out what was `parsed`; `record` a
    failed line's whole record.
    """

    def answered(self, number: int, custom_id: str, facts: Json, raw: bytes, *, again: bool) -> None: ...

    def failed(self, number: int, custom_id: str, record: Json, *, again: bool) -> None: ...

    def attempt(self, note: Json) -> None: ...


class LastWords:
    """The last word on each `custom_id`: about 26 bytes for each one that was answered or has failed."""

    def __init__(self, accepted: frozenset[str], watch: Watch | None = None) -> None:
        self._accepted = accepted
        self._watch = watch
        self._ids = Ids()
        self._marks = bytearray(1)
        self._codes: list[str] = []
        self._failed: Counter[str] = Counter()
        self._examples: dict[str, Json] = {}
        self.attempts: deque[Json] = deque(maxlen=LAST_ATTEMPTS)
        self.totals = Totals()
        self.answered = self.damaged = self.outdated = 0

    @property
    def failed(self) -> int:
        return self._failed.total()

    def read(self, folder: Path) -> None:
        for _, record in superseded(folder):
            self.totals.add_record(record["batchllm"])
        self._each_line(folder / RESULTS, self._result)
        self._each_line(folder / ATTEMPTS, self._attempt)

    def _each_line(self, path: Path, take: Callable[[bytes], None]) -> None:
        """Hand over each line; one that cannot be read counts as damaged, but for the last, which may be half written."""
        if not path.is_file():
            return
        bad = 0
        for _, raw in raw_lines(path, MAX_RECORD):
            self.damaged += bad
            bad = 0
            if not raw:
                continue
            try:
                take(_in_full(raw))
            except (ValueError, KeyError, TypeError):
                bad = 1

    def _result(self, raw: bytes) -> None:
        custom_id, facts = id_and_account(raw)
        self.totals.add_record(facts)
        if facts["settings"] not in self._accepted:
            self.outdated += 1  # asked again by the run that changed the settings
            return
        number = self._number(custom_id)
        again = self._marks[number] == ANSWERED
        self.answered += not again
        self._marks[number] = ANSWERED
        if self._watch is not None:
            self._watch.answered(number, custom_id, facts, raw, again=again)

    def _attempt(self, raw: bytes) -> None:
        note = parsed(raw)
        record = note.get("record")
        if record is None:
            self.totals.add_note(note)
            self.attempts.append(note)
            if self._watch is not None:
                self._watch.attempt(note)
            return
        facts, error = record["batchllm"], record["error"]
        self.totals.add_record(facts)
        if facts.get("settings") not in self._accepted:
            return
        self.attempts.append({"custom_id": note["custom_id"], "line": note.get("line"), "final": True, **error})
        self._failure(str(note["custom_id"]), record, facts, error)

    def _failure(self, custom_id: str, record: Json, facts: Json, error: Json) -> None:
        number = self._number(custom_id)
        mark, code = self._marks[number], str(error["code"])
        if mark == ANSWERED:
            return
        if mark:
            self._failed[self._codes[mark - 2]] -= 1
        if code not in self._codes:
            self._codes.append(code)
        self._marks[number] = self._codes.index(code) + 2
        self._failed[code] += 1
        self._examples[code] = {
            "example_line": facts.get("line"), "example_custom_id": custom_id, "message": error.get("message"),
            "retryable": facts.get("retryable"),
        }  # fmt: skip
        if self._watch is not None:
            self._watch.failed(number, custom_id, record, again=bool(mark))

    def _number(self, custom_id: str) -> int:
        number = len(self._marks)
        earlier = self._ids.add(number, custom_id)
        if earlier:
            return earlier
        self._marks.append(0)
        return number

    def failures(self) -> Json:
        """The failed ones by code, each group with its last one as an example."""
        return {code: {"count": count, **self._examples[code]} for code, count in self._failed.most_common() if count}


def _in_full(raw: bytes | TooLong) -> bytes:
    if isinstance(raw, TooLong):
        raise ValueError("above the cap")
    return raw
