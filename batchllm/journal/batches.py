"""`batches.jsonl`: what was submitted to a provider's Batch API, what became of it, and what is still owed. Append-only.

A batch has a `tag` of ours from before its creation on. Its events, in order:

    submitting  the file is uploaded; written before the creation, so that a batch whose id was lost is found again
    created     the provider's id
    seen        where it stands, whenever that changes
    ended       the provider is done with it; the ids of its files
    applied     every line has its record, its note, or stands in the follow-ups (`again`)
    dropped     it never came to be, or was given up: its lines are as if they had not been submitted
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.journal.append_file import AppendFile
from batchllm.journal.replay import records
from batchllm.journal.storage import Storage, cannot_write, make_folder
from batchllm.strictjson import dumps
from batchllm.types import Json

NAME = "batches.jsonl"
FOLDER = "batches"
"""Where a batch's own files lie: `TAG.ids`, `TAG.again.jsonl`, and its downloads until they are applied."""


@dataclass(slots=True)
class BatchState:
    """One batch, folded out of its events. `submitted` is the whole `submitting` event; numbers are of lines."""

    tag: str
    submitted: Json
    batch_id: str | None = None
    status: str = "submitting"
    counts: Json = field(default_factory=dict)
    ended: Json | None = None
    applied: Json | None = None
    dropped: str | None = None
    at: str = ""

    @property
    def open(self) -> bool:
        """Whether answers are still to come from it, or to be read."""
        return self.applied is None and self.dropped is None

    @property
    def requests(self) -> int:
        return int(self.submitted.get("requests", 0))

    def take(self, event: Json) -> None:
        self.at = str(event.get("at", self.at))
        match event["event"]:
            case "created":
                self.batch_id, self.status = str(event["batch_id"]), "validating"
            case "seen":
                self.status, self.counts = str(event["status"]), dict(event.get("counts") or {})
            case "ended":
                self.status, self.ended = str(event["status"]), event
            case "applied":
                self.applied = event
            case "dropped":
                self.dropped = str(event.get("why", ""))


def fold(events: Iterable[Json]) -> dict[str, BatchState]:
    """Batches by tag, in the order they were submitted. Events of an unknown tag or kind are passed over."""
    states: dict[str, BatchState] = {}
    for event in events:
        tag = str(event.get("tag"))
        if event.get("event") == "submitting":
            states[tag] = BatchState(tag, event, at=str(event.get("at", "")))
        elif tag in states:
            states[tag].take(event)
    return states


def read_batches(folder: Path) -> dict[str, BatchState]:
    """The batches of an output folder; none where it never had any. Raises `JobError` (65) where the file is damaged."""
    return fold(event for _, event in records(folder / NAME))


def unfinished(folder: Path) -> list[BatchState]:
    """Batches whose answers are not in the journal yet."""
    return [one for one in read_batches(folder).values() if one.open]


def refuse_forgetting(folder: Path, why: str) -> None:
    """Raises `JobError` (2) where batches are under way that the run would pay for a second time."""
    left = unfinished(folder)
    if left:
        lines = sum(one.requests for one in left)
        raise JobError(
            ExitCode.USAGE,
            f"{folder}: {lines:,} lines are in {len(left)} unfinished batches at the provider, and {why} would pay for them "
            f"twice; --lane batch fetches them, `batchllm cancel {folder}` stops them and keeps what is finished",
        )


class BatchLog:
    """Appends events, each forced to disk before the call returns unless it is only for show.

    Raises `JobError` (74) where the disk refuses: then the step that the event announces must not be taken.
    """

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._folder = folder
        self._file: AppendFile | None = None
        try:
            make_folder(storage, folder / FOLDER)
            self._file = AppendFile(storage, folder / NAME)
            self.repaired = self._file.repair()
            self._file.sync()
            storage.fsync_folder(folder)
        except OSError as error:
            self.close()
            raise cannot_write(folder, error) from None

    def write(self, event: str, tag: str, *, show: bool = False, **facts: Any) -> Json:
        """Append one event; gives it back as it stands in the file."""
        assert self._file is not None
        line: Json = {"event": event, "tag": tag, "at": datetime.now(UTC).isoformat(timespec="seconds"), **facts}
        try:
            self._file.append(dumps(line) + b"\n")
            if not show:
                self._file.sync()
        except OSError as error:
            text = f"{self._folder / NAME}: the disk failed: {error.strerror or error}; free some space or mend it, then go on"
            raise JobError(ExitCode.DISK, text) from None
        return line

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
