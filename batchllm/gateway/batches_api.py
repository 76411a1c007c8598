"""`/v1/batches`: make, list, look, cancel."""

from __future__ import annotations

import asyncio

from aiohttp import web

from batchllm.gateway import rows
from batchllm.gateway.api_error import ApiError, invalid, no_batch, no_file, stopping
from batchllm.gateway.objects import NewBatch, StoredFile, batch_json, new_batch, page, whole_number
from batchllm.gateway.reception import Reception, answer, body_of, who_asks
from batchllm.gateway.rows import Entry
from batchllm.gateway.tenants import Tenant
from batchllm.gateway.upload import disk_errors
from batchllm.types import Json

LIST_MOST, LIST_USUAL = 100, 20
KEY_CHARS = 255


class BatchesApi:
    """The handlers of one gateway."""

    def __init__(self, reception: Reception) -> None:
        self._shop = reception.shop
        self._floor = reception.floor

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/batches", self.create),
            web.get("/v1/batches", self.list),
            web.get("/v1/batches/{batch_id}", self.retrieve),
            web.post("/v1/batches/{batch_id}/cancel", self.cancel),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Accept a batch: from the answer on it ends, whatever happens to this process.

        The same `Idempotency-Key` gives the batch it made before: a client that never saw the answer may ask again.
        """
        tenant, shop = who_asks(), self._shop
        asked = new_batch(await body_of(request))
        key = request.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= KEY_CHARS:
            raise invalid(f"'Idempotency-Key' has to be of 1 to {KEY_CHARS} characters.")
        if self._floor.stopping:
            raise stopping()
        value = batch_json(asked, shop.now)
        file_id = (await shop.store.call(lambda book: _input(book, tenant, asked, shop.now))).id
        try:
            with disk_errors():
                await asyncio.to_thread(shop.places.give, file_id, value["id"])
                entry, new = await shop.store.call(lambda book: _add(book, tenant, asked, value, key))
        except FileNotFoundError:
            raise no_file(file_id) from None
        except BaseException:
            await asyncio.to_thread(shop.places.remove_batch, value["id"])
            raise
        if not new:
            await asyncio.to_thread(shop.places.remove_batch, value["id"])
            return answer(self._shown(entry))
        return answer(self._floor.add(entry).shown())

    async def list(self, request: web.Request) -> web.Response:
        tenant, after = who_asks().name, request.query.get("after")
        limit = whole_number(request.query.get("limit"), "limit", 1, LIST_MOST, LIST_USUAL)
        found = await self._shop.store.call(lambda book: rows.batches_of(book, tenant, limit, after))
        if found is None:
            raise invalid("'after' is no batch of yours.", "after", "invalid_value")
        return answer(page([self._shown(entry) for entry in found[:limit]], has_more=len(found) > limit))

    async def retrieve(self, request: web.Request) -> web.Response:
        return answer(self._shown(await self._entry(request)))

    async def cancel(self, request: web.Request) -> web.Response:
        entry = await self._entry(request)
        work = self._floor.works.get(entry.id)
        if work is None:
            message = f"Cannot cancel a batch with status '{entry.status}'."
            raise ApiError(409, message, code="batch_not_cancellable", headers={"x-should-retry": "false"})
        with disk_errors():
            return answer(await self._floor.cancel(work))

    def _shown(self, entry: Entry) -> Json:
        """As it stands in this moment, where it is being worked on."""
        work = self._floor.works.get(entry.id)
        return entry.object if work is None else work.shown()

    async def _entry(self, request: web.Request) -> Entry:
        name, tenant = request.match_info["batch_id"], who_asks().name
        entry = await self._shop.store.call(lambda book: rows.batch_of(book, tenant, name))
        if entry is None:
            raise no_batch(name)
        return entry


def _add(book: rows.Book, tenant: Tenant, asked: NewBatch, value: Json, key: str | None) -> tuple[Entry, bool]:
    """The batch and whether it is new. Raises `ApiError` where it cannot be taken; then nothing was."""
    before = rows.batch_once(book, tenant.name, key) if key is not None else None
    if before is not None:
        if any(before.object[name] != value[name] for name in ("input_file_id", "endpoint", "completion_window", "metadata")):
            raise ApiError(409, "This 'Idempotency-Key' was used for another batch.", code="idempotency_conflict")
        return before, False
    file = _input(book, tenant, asked, value["created_at"])
    batches, lines = rows.taken_by(book, tenant.name)
    if batches >= tenant.quota.batches:
        raise _enough(f"You have {batches} unfinished batches, the most you may have.")
    if lines + file.lines > tenant.quota.lines:
        raise _enough(f"Your unfinished batches have {lines} lines; with {file.lines} more they pass {tenant.quota.lines}.")
    keep = asked.output_expires_after.seconds if asked.output_expires_after else None
    entry = Entry(value["id"], tenant.name, file.lines, keep, value)
    rows.add_batch(book, entry, key)
    return entry, True


def _input(book: rows.Book, tenant: Tenant, asked: NewBatch, now: int) -> StoredFile:
    """The file to make a batch of. Only its id from the book ever becomes a path."""
    file = rows.file_of(book, tenant.name, asked.input_file_id, now)
    if file is None:
        raise no_file(asked.input_file_id)
    if file.purpose != "batch":
        raise invalid(f"File '{file.id}' has purpose '{file.purpose}'; a batch needs one with 'batch'.", "input_file_id")
    return file


def _enough(message: str) -> ApiError:
    headers = {"Retry-After": "60", "x-should-retry": "false"}
    return ApiError(429, message, kind="rate_limit_error", code="batch_queue_full", headers=headers)
