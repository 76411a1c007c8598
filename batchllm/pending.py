"""The lines of a job that are still to be asked, read once more as they are wanted. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from batchllm.journal.index import JobIndex
from batchllm.opening import Opened
from batchllm.sources.job_file import JobFile, Unread, changed
from batchllm.types import Json, Request

Wanted = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Pending:
    """Every reading leaves out what has a record by then, and raises `JobError` (65) for a line that is not what it was."""

    job: JobFile
    opened: Opened

    def requests(self, among: Wanted | None = None, *, again: bool = False) -> Iterator[list[Request]]:
        """In the job's order, in small batches. `again`: lines that have been handed out before."""
        index, begun = self.opened.survey.index, self.opened.replayed.begun
        for batch in self.job.pending(_wanted(index, among), self.opened.survey.last_line):
            for request in batch:
                if not index.same(request.line, request.digest):
                    raise changed(self.job.path, request.line)
            if not again:
                batch = self.opened.duplicates.sent(batch)
            yield [_taken_up(one, begun) for one in batch] if begun else batch

    @property
    def plain(self) -> bool:
        """Whether nothing is to be known of a line before it is sent but that it is wanted."""
        return not (self.opened.duplicates.found or self.opened.replayed.begun)

    def unread(self, among: Wanted | None = None) -> Iterator[list[Unread]]:
        """The same lines as they stand in the job, for whoever sends them to read; only where they are `plain`."""
        index = self.opened.survey.index
        return self.job.unread(_wanted(index, among), self.opened.survey.last_line, index.digests)


def _wanted(index: JobIndex, among: Wanted | None) -> Wanted:
    return index.wanted if among is None else lambda line: index.wanted(line) and among(line)


def _taken_up(request: Request, begun: dict[int, list[Json]]) -> Request:
    """A conversation with the turns that earlier runs finished; any other request as it is."""
    if request.extras is None or request.line not in begun:
        return request
    return replace(request, extras=replace(request.extras, begun=tuple(begun.pop(request.line))))
