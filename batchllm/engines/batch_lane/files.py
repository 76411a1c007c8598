"""The files of batches in the output folder: downloads, each whole or not at all, and what is to be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from batchllm.engines.batch_lane.patience import Patience
from batchllm.engines.batch_lane.remote import BatchApi, RemoteError, Seen
from batchllm.engines.batch_lane.returns import Returned
from batchllm.engines.batch_lane.spool import Spool
from batchllm.errors import ErrorCode
from batchllm.journal.batches import FOLDER, BatchState
from batchllm.journal.storage import Storage, whole_file
from batchllm.types import Kind, Verdict

OUTPUT, ERROR, AGAIN = "output.jsonl", "error.jsonl", "again.jsonl"


@dataclass(frozen=True, slots=True)
class History:
    """The replies that lines have had before, by id."""

    spools: list[Spool]

    def of(self, known: str) -> list[Returned]:
        """The longest of what there is: a line that was sent again twice stands among the follow-ups of two batches."""
        found = [one.get("replies") or () for spool in self.spools if (one := spool.get(known)) is not None]
        return [Returned.from_json(one) for one in max(found, key=len, default=())]


class BatchFiles:
    """Files by batch and kind, below `batches/` in an output folder."""

    def __init__(self, storage: Storage, folder: Path, api: BatchApi, patience: Patience) -> None:
        self._storage = storage
        self._place = folder / FOLDER
        self._api = api
        self._patience = patience

    def path(self, tag: str, kind: str) -> Path:
        return self._place / f"{tag}.{kind}"

    async def fetch(self, state: BatchState, seen: Seen) -> None:
        """The files of answers and of errors; those that are here already are whole. Raises `RemoteError`."""
        for file_id, kind in ((seen.output_file_id, OUTPUT), (seen.error_file_id, ERROR)):
            if file_id is not None and not self.path(state.tag, kind).exists():
                await self._fetch(file_id, self.path(state.tag, kind))

    async def _fetch(self, file_id: str, path: Path) -> None:
        await self._patience.ask(lambda: self._download(file_id, path))

    async def _download(self, file_id: str, path: Path) -> None:
        expected = await self._api.size(file_id)
        writing = whole_file(self._storage, path)
        take = await asyncio.to_thread(writing.__enter__)
        try:
            count = await self._api.download(file_id, take)
            if expected is not None and count != expected:
                text = f"{count:,} of {expected:,} bytes of file {file_id} came through"
                raise RemoteError(Verdict(Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE, text))
        except BaseException as error:
            writing.__exit__(type(error), error, error.__traceback__)
            raise
        await asyncio.to_thread(writing.__exit__, None, None, None)

    def answers(self, state: BatchState) -> AbstractAsyncContextManager[list[Spool]]:
        """What the batch brought. Raises `TornError` where a file breaks off."""
        return _opened([self.path(state.tag, kind) for kind in (OUTPUT, ERROR)], "custom_id")

    def histories(self, state: BatchState) -> AbstractAsyncContextManager[list[Spool]]:
        """The follow-ups of the batches that this one follows."""
        return _opened([self.path(tag, AGAIN) for tag in state.submitted.get("after") or ()], "id")

    @asynccontextmanager
    async def follow_ups(self, state: BatchState) -> AsyncIterator[tuple[frozenset[str], History]]:
        """The lines that are to be sent again after this batch, and the replies each has had."""
        async with _opened([self.path(state.tag, AGAIN)], "id") as spools:
            yield frozenset(known for spool in spools for known in spool), History(spools)

    def remove(self, state: BatchState, *kinds: str) -> None:
        for kind in kinds:
            with suppress(OSError):
                self._storage.unlink(self.path(state.tag, kind))


@asynccontextmanager
async def _opened(paths: list[Path], name: str) -> AsyncIterator[list[Spool]]:
    """The files that there are, indexed in a thread."""
    with ExitStack() as stack:
        spools = []
        for path in paths:
            if path.exists():
                spools.append(await asyncio.to_thread(Spool, path, name))
                stack.callback(spools[-1].close)
        yield spools
