"""`/files` and `/batches` on the simulator's socket."""

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import BodyPartReader
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from batchllm.simulator import wire
from batchllm.simulator.batch_desk import BatchDesk
from batchllm.simulator.desk import Desk
from batchllm.simulator.file_store import FileStore, page
from batchllm.simulator.reply import Reply

_MOST = {"files": 10_000, "batches": 100}
_PER_PAGE = {"files": 10_000, "batches": 20}


def is_batch_path(path: str) -> bool:
    """Whether these routes answer it, whatever prefix the dialect puts before."""
    return _found(path) is not None


def _found(path: str) -> tuple[str, list[str]] | None:
    words = path.strip("/").split("/")
    for kind in ("files", "batches"):
        if kind in words:
            return kind, words[words.index(kind) + 1 :]
    return None


class BatchRoutes:
    """Answers for one server; refusals are worded by its desk."""

    def __init__(self, desk: Desk, batches: BatchDesk, files: FileStore, clock: Callable[[], float]) -> None:
        self._desk = desk
        self._batches = batches
        self._files = files
        self._clock = clock

    async def answer(self, request: BaseRequest, key: str | None) -> StreamResponse:
        if kind := self._desk.turned_away(key):
            return wire.whole(self._desk.refused(kind, self._clock()))
        found = _found(request.path)
        assert found is not None
        what, words = found
        route = (request.method, what, *(words[1:2] if words else ()), "one" if words else "all")
        match route:
            case ("POST", "files", "all"):
                return await self._upload(request)
            case ("GET", "files", "content", "one"):
                return self._content(words[0])
            case ("POST", "batches", "all"):
                return wire.whole(self._create(await request.read()))
            case ("GET", ("files" | "batches"), "all"):
                return wire.whole(self._listed(what, request))
        return wire.whole(self._one(route, words[0] if words else ""))

    async def _upload(self, request: BaseRequest) -> StreamResponse:
        """One multipart form: `purpose` and `file`."""
        purpose, name, data = "", "", None
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "file":
                name = part.filename or "file"
                data = bytes(await part.read())
                if len(data) > self._batches.orders.max_file_bytes:
                    return self._refused("too_large")
            elif part.name == "purpose":
                purpose = await part.text()
        if data is None or not purpose:
            return self._refused("bad_request", "Missing required parameter: 'file' or 'purpose'.")
        return wire.whole(self._desk.listed(self._files.add(name, purpose, data).shown()))

    def _content(self, name: str) -> StreamResponse:
        stored = self._files.get(name)
        if stored is None:
            return self._refused("not_found", f"No such File object: {name}")
        return Response(body=stored.data, content_type="application/octet-stream")

    def _create(self, raw: bytes) -> Reply:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            return self._desk.refused("bad_request", self._clock(), "We could not parse the JSON body of your request.")
        made = self._batches.create(body)
        if isinstance(made, str):
            return self._desk.refused("bad_request", self._clock(), made)
        if self._batches.loses_reply():
            return self._desk.refused("server_error", self._clock())
        return self._desk.listed(self._batches.shown(made))

    def _listed(self, what: str, request: BaseRequest) -> Reply:
        limit = request.query.get("limit", "")
        most = min(int(limit), _MOST[what]) if limit.isdecimal() and int(limit) else _PER_PAGE[what]
        if what == "batches":
            items: list[dict[str, Any]] = self._batches.newest_first()
        else:
            items = [one.shown() for one in self._files.newest_first(request.query.get("purpose"))]
        return self._desk.listed(page(items, request.query.get("after"), most))

    def _one(self, route: tuple[str, ...], name: str) -> Reply:
        """What concerns one file or batch; everything else is an unknown URL."""
        match route:
            case ("GET", "files", "one") if stored := self._files.get(name):
                return self._desk.listed(stored.shown())
            case ("DELETE", "files", "one") if self._files.remove(name):
                return self._desk.listed({"id": name, "object": "file", "deleted": True})
            case ("GET", "batches", "one") if batch := self._batches.get(name):
                return self._desk.listed(self._batches.shown(batch))
            case ("POST", "batches", "cancel", "one") if batch := self._batches.get(name):
                if self._batches.cancel(batch):
                    return self._desk.listed(self._batches.shown(batch))
                text = f"Cannot cancel a batch with status '{batch.status}'."
                return self._desk.refused("bad_request", self._clock(), text)
        return self._desk.refused("not_found", self._clock(), f"No such object: {name}")

    def _refused(self, kind: Any, message: str | None = None) -> StreamResponse:
        return wire.whole(self._desk.refused(kind, self._clock(), message))
