"""The HTTP surface: who may come in, and every refusal in the API's own shape."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from batchllm.gateway.api_error import FULL, ApiError, full_disk, unknown_token
from batchllm.gateway.batches_api import BatchesApi
from batchllm.gateway.files_api import FilesApi
from batchllm.gateway.openapi import description
from batchllm.gateway.passing import Passing
from batchllm.gateway.reception import Reception, answer, let_in
from batchllm.gateway.watching import Watching
from batchllm.settings import LOOPBACK

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"})
"""By which requests are counted: what a stranger makes up is one of them all."""
OPEN_PATHS = frozenset({"/healthz", "/metrics", "/openapi.json"})


def application(reception: Reception) -> web.Application:
    """The gateway as an aiohttp application."""
    app = web.Application(middlewares=[_refusals(reception), _door(reception)])
    for part in (FilesApi(reception), BatchesApi(reception), Passing(reception), Watching(reception)):
        app.add_routes(part.routes())
    document = description(reception.limits)

    async def openapi(request: web.Request) -> web.Response:
        return answer(document)

    app.add_routes([web.get("/openapi.json", openapi)])
    return app


def _door(reception: Reception) -> Middleware:
    tenants = reception.tenants

    @web.middleware
    async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        if tenants.open_to is not None:
            _refuse_pages(request)
        tenant = tenants.of(request.headers.get("Authorization"))
        if tenant is None:
            raise unknown_token()
        let_in(tenant)
        return await handler(request)

    return door


def _refuse_pages(request: web.Request) -> None:
    """Without tokens a web page in the operator's own browser must not get through to loopback."""
    host = urlsplit(f"//{request.host}").hostname or ""
    origin = request.headers.get("Origin")
    if host not in LOOPBACK or (origin is not None and urlsplit(origin).hostname not in LOOPBACK):
        raise ApiError(403, "Without tokens this gateway answers programs on its own machine only.", code="foreign_origin")


def _refusals(reception: Reception) -> Middleware:
    @web.middleware
    async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except ApiError as error:
            response = _refused(error)
        except web.HTTPException as error:
            response = _refused(_foreign(request, error))
        except ConnectionError:  # the client went away
            raise
        except OSError as error:
            response = _refused(full_disk() if error.errno in FULL else _defect(error))
        except Exception as error:
            logging.getLogger("batchllm").debug("the defect", exc_info=True)
            response = _refused(_defect(error))
        resource = request.match_info.route.resource
        method = request.method if request.method in METHODS else "other"
        reception.told[(resource.canonical if resource else "other", method, response.status)] += 1
        return response

    return refusals


def _defect(error: Exception) -> ApiError:
    message = f"A defect in the gateway itself ({type(error).__name__}); its operator should report it."
    return ApiError(500, message, kind="server_error")


def _refused(error: ApiError) -> web.Response:
    response = answer(error.body(), error.status)
    response.headers.update(error.headers)
    return response


def _foreign(request: web.Request, error: web.HTTPException) -> ApiError:
    """aiohttp's own answers, in the API's shape."""
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    if error.status == 404:
        return ApiError(404, f"Invalid URL ({request.method} {request.path[:100]})", headers=headers)
    return ApiError(error.status, error.reason, headers=headers)
