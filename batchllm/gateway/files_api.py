"""`/v1/files`: upload, list, look, read, delete."""

from __future__ import annotations

import asyncio

from aiohttp import web

from batchllm.gateway import rows
from batchllm.gateway.api_error import ApiError, invalid, no_file
from batchllm.gateway.objects import EXPIRY_S, StoredFile, new_id, page, whole_number
from batchllm.gateway.reception import Reception, answer, who_asks
from batchllm.gateway.tenants import Tenant
from batchllm.gateway.upload import OVERHEAD, Upload, disk_errors, receive

LIST_MOST = 10_000


class FilesApi:
    """The handlers of one gateway."""

    def __init__(self, reception: Reception) -> None:
        self._shop = reception.shop
        self._limits = reception.limits

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/files", self.create),
            web.get("/v1/files", self.list),
            web.get("/v1/files/{file_id}", self.retrieve),
            web.delete("/v1/files/{file_id}", self.delete),
            web.get("/v1/files/{file_id}/content", self.content),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Take an upload: on the disk and in the book before it is answered."""
        tenant, shop = who_asks(), self._shop
        taken = await shop.store.call(lambda book: rows.bytes_of(book, tenant.name))
        _refuse_above(tenant, taken + max(1, (request.content_length or 0) - OVERHEAD))
        name = new_id("file-")
        upload = await receive(request, shop.places.incoming / name, self._limits.max_file)
        try:
            file = _stored(upload, name, tenant, shop.now)
            with disk_errors():
                await asyncio.to_thread(shop.places.keep, upload.path, name)
                await shop.store.call(lambda book: _add(book, tenant, file))
        except BaseException:
            upload.path.unlink(missing_ok=True)
            shop.places.remove_files([name])
            raise
        return answer(file.to_json())

    async def list(self, request: web.Request) -> web.Response:
        query, tenant = request.query, who_asks().name
        limit = whole_number(query.get("limit"), "limit", 1, LIST_MOST, LIST_MOST)
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise invalid("'order' has to be asc or desc.", "order", "invalid_value")
        after, purpose, now = query.get("after"), query.get("purpose"), self._shop.now
        found = await self._shop.store.call(
            lambda book: rows.files_of(book, tenant, now, limit, after=after, purpose=purpose, newest_first=order == "desc")
        )
        if found is None:
            raise invalid("'after' is no file of yours.", "after", "invalid_value")
        return answer(page([file.to_json() for file in found[:limit]], has_more=len(found) > limit))

    async def retrieve(self, request: web.Request) -> web.Response:
        return answer((await self._file(request)).to_json())

    async def delete(self, request: web.Request) -> web.Response:
        """A batch that has it as its input goes on: it keeps the content under a name of its own."""
        file = await self._file(request)
        await self._shop.store.call(lambda book: rows.remove_file(book, file.tenant, file.id))
        await asyncio.to_thread(self._shop.places.remove_files, [file.id])
        return answer({"id": file.id, "object": "file", "deleted": True})

    async def content(self, request: web.Request) -> web.StreamResponse:
        file = await self._file(request)
        path = self._shop.places.file(file.id)
        if not path.is_file():
            raise no_file(file.id)
        headers = {
            "Content-Type": "application/jsonl",
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(path, headers=headers)

    async def _file(self, request: web.Request) -> StoredFile:
        name, tenant, now = request.match_info["file_id"], who_asks().name, self._shop.now
        file = await self._shop.store.call(lambda book: rows.file_of(book, tenant, name, now))
        if file is None:
            raise no_file(name)
        return file


def _add(book: rows.Book, tenant: Tenant, file: StoredFile) -> None:
    _refuse_above(tenant, rows.bytes_of(book, tenant.name) + file.bytes)
    rows.add_file(book, file)


def _refuse_above(tenant: Tenant, size: int) -> None:
    most = tenant.quota.file_bytes
    if size > most:
        raise ApiError(
            403, f"Your files would take more than {most:,} bytes; delete some first.", kind="insufficient_quota",
            code="quota_exceeded",
        )  # fmt: skip


def _stored(upload: Upload, name: str, tenant: Tenant, now: int) -> StoredFile:
    """The upload as a file. Raises `ApiError` (400) where its fields say what cannot be."""
    purpose = upload.fields.get("purpose")
    if purpose is None:
        raise invalid("Missing required parameter: 'purpose'.", "purpose", "missing_required_parameter")
    if purpose != "batch":
        raise invalid("'purpose' has to be 'batch': this gateway keeps files for batches only.", "purpose", "invalid_value")
    keep = _keep_s(upload.fields)
    assert upload.filename is not None
    expires = None if keep is None else now + keep
    return StoredFile(name, tenant.name, upload.filename, upload.size, upload.all_lines, purpose, now, expires)


def _keep_s(fields: dict[str, str]) -> int | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise invalid("'expires_after[anchor]' has to be 'created_at'.", "expires_after", "invalid_value")
    if seconds is None:
        raise invalid("'expires_after[seconds]' is missing.", "expires_after", "missing_required_parameter")
    return whole_number(seconds, "expires_after[seconds]", *EXPIRY_S, 0)
