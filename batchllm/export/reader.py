"""Records read back by line, one at a time: the one that counts, where a line has more than one."""

from __future__ import annotations

import os
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.export.places import Places
from batchllm.journal.errors_file import NAME as ERRORS
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.strictjson import loads
from batchllm.types import Json

BLOCK = 1 << 20


class Reader:
    """Looks up what `Places` found. An answer counts if it was made with accepted settings, and before a failure, unless the
    last run told the line as failed: then the answer was to other content.
    """

    def __init__(self, folder: Path, places: Places, accepted: frozenset[str]) -> None:
        self._places, self._accepted = places, accepted
        self._files = [_opened(folder / name) for name in (RESULTS, ATTEMPTS, ERRORS)]
        self.outdated = 0

    def close(self) -> None:
        for file in self._files:
            if file is not None:
                os.close(file.fd)

    def record(self, line: int) -> Json | None:
        """The record that counts for a line; None if it is pending."""
        places = self._places
        answer, failure = places.answers.get(line), places.failures.get(line)
        found = self._at(0, answer)
        if found is not None:
            if self._outdated(found):
                self.outdated += 1
                found = None
            elif failure is None:
                return found
        if failure is not None and (found is None or places.is_failed_now(line)):
            failed = self._at(1, failure)
            if failed is not None and not self._outdated(failed["record"]):
                found = failed["record"]
        return found if found is not None else self._at(2, places.bad.get(line))

    def _outdated(self, record: Json) -> bool:
        """Whether it was made with settings that the last run no longer took."""
        return bool(self._accepted) and record["batchllm"].get("settings") not in self._accepted

    def _at(self, file: int, spot: tuple[int, int] | None) -> Json | None:
        opened = self._files[file]
        if spot is None or opened is None:
            return None
        try:
            record = loads(opened.read(*spot))
            if isinstance(record.get("batchllm"), dict) or isinstance(record["record"]["batchllm"], dict):
                return record  # type: ignore[no-any-return]
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise JobError(ExitCode.BAD_DATA, "a record of the folder is damaged; see `batchllm verify`")


class _Pieces:
    """Pieces of a file. More is read at once where the next is near the last: answers come nearly in the job's order."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._block, self._begins, self._last = b"", 0, 0

    def read(self, at: int, length: int) -> bytes:
        start = at - self._begins
        if start < 0 or start + length > len(self._block):
            near = abs(at - self._last) < BLOCK // 2
            self._last = at
            if not near or length > BLOCK // 4:
                return os.pread(self.fd, length, at)
            self._begins = max(0, at - BLOCK // 4)
            self._block = os.pread(self.fd, BLOCK, self._begins)
            start = at - self._begins
        self._last = at
        return self._block[start : start + length]


def _opened(path: Path) -> _Pieces | None:
    try:
        return _Pieces(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return None
