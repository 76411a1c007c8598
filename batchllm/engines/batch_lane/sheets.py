"""Lines put together into the file of one batch, within the provider's limits."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

import orjson

from batchllm.budget import Budget, Budgets
from batchllm.errors import ExitCode, JobError
from batchllm.item import Item
from batchllm.journal.batches import FOLDER
from batchllm.journal.storage import Storage, closing, write_all, write_whole
from batchllm.media import loaded
from batchllm.media_files import MediaError
from batchllm.providers.batch_services import Service
from batchllm.route import Route
from batchllm.steps import Done
from batchllm.strictjson import dumps
from batchllm.types import Json, Request

BYTES_PER_TOKEN = 4
BUFFER = 1 << 20
_LIVE_ONLY = ("stream", "stream_options")


def line_id(request: Request) -> str:
    """The id a line has in a batch: the same as long as its `custom_id` and its content are.

    Not the `custom_id` itself: what comes back is matched with the content it was asked with, and ids of more than 64
    characters are not safe everywhere.
    """
    name = blake2b(request.custom_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{name}-{request.digest[:16]}"


def in_a_batch(request: Request) -> Request:
    """The request without what only a live one may ask."""
    if not any(name in request.body for name in _LIVE_ONLY):
        return request
    return replace(request, body={name: value for name, value in request.body.items() if name not in _LIVE_ONLY})


@dataclass(slots=True)
class Sheet:
    """One batch in the making. `key` is what all of its lines share: endpoint and model; `after` names the batches it follows."""

    tag: str
    key: tuple[str, str]
    path: Path
    ids: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    bytes: int = 0
    after: list[str] = field(default_factory=list)
    reserved_usd: float = 0.0
    reserved_tokens: float = 0.0
    waiting: bytearray = field(default_factory=bytearray, repr=False)
    digest: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)

    @property
    def tokens(self) -> int:
        return self.bytes // BYTES_PER_TOKEN

    def facts(self) -> Json:
        """What the log says of it before it is submitted."""
        return {
            "requests": len(self.ids),
            "lines": list(ranges(sorted(self.lines))),
            "bytes": self.bytes,
            "tokens": self.tokens,
            "sha256": self.digest.hexdigest(),
            "endpoint": self.key[0],
            "model": self.key[1],
            "after": self.after,
            "reserved": [self.reserved_usd, self.reserved_tokens],
        }


class FullError(Exception):
    """A budget has no room for the next line."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget


class Unsendable(Exception):  # noqa: N818 - an outcome, not an error
    """A line that cannot be put into a batch; `step` is its record."""

    def __init__(self, step: Done) -> None:
        super().__init__()
        self.step = step


class Sheets:
    """Sheets in the making, one for each endpoint and model. Files are written through `storage`, unsynced: a sheet that
    was not submitted is made anew.
    """

    def __init__(self, storage: Storage, folder: Path, service: Service, route: Route, budgets: Budgets) -> None:
        self._storage = storage
        self._folder = folder / FOLDER
        self._service = service
        self._route = route
        self._budgets = budgets
        self._open: dict[tuple[str, str], Sheet] = {}
        self.most_lines = service.lines

    def clear(self, keep: Iterable[str]) -> None:
        """Remove the files that earlier runs left of sheets they did not submit."""
        kept = set(keep)
        for path in self._folder.iterdir():
            if path.name.partition(".")[0] not in kept:
                with contextlib.suppress(OSError):
                    self._storage.unlink(path)

    async def add(self, item: Item, after: str | None = None) -> Sheet | None:
        """Put a line in, a follow-up of the batch `after`; gives the sheet that had to be closed for it, if one had.

        Raises `FullError` where a budget has no room for it, `Unsendable` where it cannot be sent at all. Nothing is
        changed then.
        """
        request = item.request
        raw = await self._line(item)
        key = (self._service.url(request.url), str(item.body.get("model") or ""))
        usd, tokens = self._reserve(item)
        sheet = self._open.get(key)
        full = None
        if sheet is not None and not self._fits(sheet, len(raw)):
            full, sheet = self._open.pop(key), None
        if sheet is None:
            sheet = self._open[key] = self._new(key)
        sheet.ids.append(line_id(request))
        sheet.lines.append(request.line)
        if after is not None and after not in sheet.after:
            sheet.after.append(after)
        sheet.reserved_usd += usd
        sheet.reserved_tokens += tokens
        self._write(sheet, raw)
        return full

    async def _line(self, item: Item) -> bytes:
        request = item.request
        body: object = item.body
        if request.extras is not None and request.extras.media:
            try:
                data, files = await asyncio.to_thread(loaded, item.body, self._route.media)
            except MediaError as error:
                raise Unsendable(item.unsendable(str(error))) from None
            item.sends(files)
            body = orjson.Fragment(data)
        line = {"custom_id": line_id(request), "method": "POST", "url": self._service.url(request.url), "body": body}
        raw = dumps(line) + b"\n"
        if len(raw) > self._service.bytes:
            raise Unsendable(item.unsendable(f"the line has {len(raw):,} bytes, a batch takes {self._service.bytes:,}"))
        return raw

    def _reserve(self, item: Item) -> tuple[float, float]:
        if not self._budgets.limited:
            return 0.0, 0.0
        worst = item.worst()
        usd, tokens = worst.usd or 0.0, worst.tokens or 0.0
        full = self._budgets.reserve(usd, tokens)
        if full is not None:
            raise FullError(full)
        return usd, tokens

    def _fits(self, sheet: Sheet, size: int) -> bool:
        queued = self._service.queued_tokens
        return (
            len(sheet.ids) < self.most_lines
            and sheet.bytes + size <= self._service.bytes
            and (queued is None or (sheet.bytes + size) // BYTES_PER_TOKEN <= queued)
        )

    def _new(self, key: tuple[str, str]) -> Sheet:
        tag = secrets.token_hex(8)
        return Sheet(tag, key, self._folder / f"{tag}.jsonl")

    def _write(self, sheet: Sheet, raw: bytes) -> None:
        sheet.bytes += len(raw)
        sheet.digest.update(raw)
        sheet.waiting += raw
        if len(sheet.waiting) >= BUFFER:
            self._flush(sheet)

    def _flush(self, sheet: Sheet) -> None:
        fd = self._storage.open(sheet.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with closing(self._storage, fd):
            write_all(self._storage, fd, bytes(sheet.waiting))
        sheet.waiting.clear()

    @property
    def begun(self) -> bool:
        return bool(self._open)

    def take(self) -> Sheet:
        """The oldest sheet, as it is."""
        return self._open.pop(next(iter(self._open)))

    def finish(self, sheet: Sheet) -> None:
        """The whole file, and beside it, durably, the ids in its order. Blocking."""
        self._flush(sheet)
        write_whole(self._storage, ids_path(self._folder, sheet.tag), "".join(f"{one}\n" for one in sheet.ids).encode())

    def discard(self, sheet: Sheet) -> None:
        """Remove the file: it is uploaded, or will not be."""
        with contextlib.suppress(OSError):
            self._storage.unlink(sheet.path)


def ids_path(folder: Path, tag: str) -> Path:
    return folder / f"{tag}.ids"


def read_ids(folder: Path, tag: str, *, must: bool = True) -> list[str]:
    """The ids of a batch's lines, in the order of its file. Raises `JobError` (65) where they are gone and `must` be there."""
    path = ids_path(folder / FOLDER, tag)
    try:
        return path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        if not must:
            return []
        text = f"{path} is gone: without it the answers of an unfinished batch cannot be told apart; `batchllm cancel --forget`"
        raise JobError(ExitCode.BAD_DATA, text) from None


def ranges(lines: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as pairs of first and last."""
    first = last = 0
    for number in lines:
        if first and number == last + 1:
            last = number
            continue
        if first:
            yield first, last
        first = last = number
    if first:
        yield first, last
