"""What every handler needs: who asks, what may be taken, and where to turn; JSON in and out."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from batchllm.gateway.api_error import ApiError, invalid
from batchllm.gateway.floor import Floor
from batchllm.gateway.shop import Shop
from batchllm.gateway.tenants import Tenant, Tenants
from batchllm.gateway_settings import Gateway
from batchllm.strictjson import loads
from batchllm.types import Json

JSON_BYTES = 1 << 20
"""The most a request that is no upload and no prompt may hold."""
_TENANT: ContextVar[Tenant] = ContextVar("tenant")


@dataclass(slots=True)
class Reception:
    """The gateway as its handlers see it. `told` counts answers by route, method and status."""

    shop: Shop
    floor: Floor
    tenants: Tenants
    limits: Gateway
    told: Counter[tuple[str, str, int]] = field(default_factory=Counter)


def let_in(tenant: Tenant) -> None:
    """The rest of this request is this tenant's."""
    _TENANT.set(tenant)


def who_asks() -> Tenant:
    return _TENANT.get()


def answer(value: Json, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


async def body_of(request: web.Request, most: int = JSON_BYTES) -> Any:
    """The JSON body. Raises `ApiError` (400, 413)."""
    raw = await raw_body(request, most)
    try:
        return loads(raw)
    except ValueError as error:
        raise invalid(f"The body could not be parsed as JSON: {str(error)[:200]}") from None


async def raw_body(request: web.Request, most: int) -> bytes:
    """The whole body, of so many bytes at most. Raises `ApiError` (413)."""
    pieces, size = [], 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > most:
            raise ApiError(413, f"The request is larger than {most:,} bytes.", code="request_too_large")
        pieces.append(piece)
    return b"".join(pieces)
