"""Requests that a run does not send, because another line asks the same: held back first, answered from the journal at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from batchllm.journal.index import JobIndex
from batchllm.journal.originals import Originals
from batchllm.protocols import Endpoint
from batchllm.records import Record
from batchllm.sources.job_file import JobFile
from batchllm.twins import Twins, duplicate, repeatable
from batchllm.types import Json, Request


class Duplicates:
    """One of each group of equal lines is sent; its record, answer or failure, becomes the record of the others.

    They are answered when nothing is in flight any more, by one more reading of the job, and not as they come: so nothing
    waits for a line that is tried again for hours, and nothing is held in memory. What a run that ends before leaves
    behind is answered by the next one without a request.
    """

    def __init__(
        self,
        index: JobIndex,
        folder: Path,
        settings: str,
        endpoint_for: Callable[[str], Endpoint],
        *,
        dedupe: bool | None,
        repeats: bool,
    ) -> None:
        """`settings` is the digest of those of this run; `repeats` says whether any line asks for no chance in its answer."""
        self._dedupe = dedupe
        self._twins = twins = Twins(index.digests if dedupe or (dedupe is None and repeats) else ())
        self._index = index
        self._originals = Originals(folder, index, twins.group, len(twins), settings)
        self._endpoint_for = endpoint_for
        self._look()

    def _look(self) -> None:
        if self._twins:
            for group in self._originals.look():
                self._twins.answered(group)

    @property
    def found(self) -> bool:
        """Whether there are any, so that lines have to be looked at before they are sent."""
        return bool(self._twins)

    def notices(self) -> list[str]:
        """What is going to be saved, before it is: whoever asks twice on purpose has to know."""
        if not self._twins:
            return []
        which = "" if self._dedupe else " at temperature 0"
        spare = self._twins.spare
        return [f"{spare} lines ask the same as another{which} and get its answer (--no-dedupe asks for each)"]

    def sent(self, batch: list[Request]) -> list[Request]:
        """The requests of a batch that are to be sent: of each group one, and none where there is a record already."""
        if not self._twins:
            return batch
        return [one for one in batch if not repeatable(one, self._dedupe) or self._twins.take(one.line)]

    def records(self, job: JobFile, last_line: int) -> Iterator[list[tuple[Record, Request]]]:
        """The records of every line that another's now serves, in small batches. Blocking."""
        if not self._twins:
            return
        self._look()
        for batch in job.pending(self._served, last_line):
            made = [(record, request) for request in batch if (record := self._record(request)) is not None]
            if made:
                yield made

    def _served(self, line: int) -> bool:
        group = self._twins.group(line)
        return group > 0 and self._index.wanted(line) and self._originals.known(group)

    def _record(self, request: Request) -> Record | None:
        """None where the whole digests differ: then nothing serves this line, and it stays pending."""
        if not repeatable(request, self._dedupe):
            return None
        original = self._originals.record(self._twins.group(request.line))
        if original is None or original["batchllm"]["digest"] != request.digest:
            return None
        return duplicate(original, request, self._text(original, request.url))

    def _text(self, original: Json, url: str) -> str | None:
        response = original["response"]
        return None if response is None else self._endpoint_for(url).read(response["body"]).text
