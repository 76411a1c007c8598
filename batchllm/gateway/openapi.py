"""What the gateway says of itself: `/openapi.json`, OpenAPI 3.1. Tests hold the gateway to it."""

from __future__ import annotations

from batchllm import __version__
from batchllm.gateway.objects import ENDPOINTS, EXPIRY_S, OPEN
from batchllm.gateway.passing import PATHS
from batchllm.gateway_settings import Gateway
from batchllm.types import Json

_STATES = [*OPEN, "completed", "failed", "expired", "cancelled"]
_WHEN: Json = {"type": ["integer", "null"], "description": "seconds since the epoch"}
_TEXT: Json = {"type": "string"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_JSON = "application/json"


def description(limits: Gateway) -> Json:
    """The document for a gateway with these limits."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "batchllm gateway",
            "version": __version__,
            "description": "Files and batches as the OpenAI API has them, in front of any OpenAI-compatible endpoint.",
        },
        "security": [{"token": []}],
        "paths": {**_files(limits), **_batches(), **_live(), **_watching()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _error(), "File": _file(), "Batch": _batch(), "NewBatch": _new_batch(),
                "FileList": _list("File"), "BatchList": _list("Batch"), "ExpiresAfter": _expires_after(),
            },
        },
    }  # fmt: skip


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _operation(name: str, about: str, schema: Json | None, *refusals: int, **more: object) -> Json:
    """An operation that answers 200 with this schema, or one of these refusals, all of one shape."""
    fine: Json = {"description": about}
    if schema is not None:
        fine["content"] = {_JSON: {"schema": schema}}
    said = {str(code): {"description": "refused", "content": {_JSON: {"schema": _ref("Error")}}} for code in (401, *refusals)}
    return {"operationId": name, "summary": about, "responses": {"200": fine, **said}, **more}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _name(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}}


def _files(limits: Gateway) -> Json:
    upload: Json = {
        "type": "object",
        "required": ["file", "purpose"],
        "properties": {
            "purpose": {"type": "string", "enum": ["batch"]},
            "file": {"type": "string", "format": "binary", "description": f"at most {limits.max_file} bytes"},
            "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
            "expires_after[seconds]": {"type": "integer", "minimum": EXPIRY_S[0], "maximum": EXPIRY_S[1]},
        },
    }
    body = {"required": True, "content": {"multipart/form-data": {"schema": upload}}}
    pages = [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}), _query("after", _TEXT),
        _query("order", {"type": "string", "enum": ["asc", "desc"]}), _query("purpose", _TEXT),
    ]  # fmt: skip
    deleted: Json = {
        "type": "object", "required": ["id", "object", "deleted"],
        "properties": {"id": _TEXT, "object": {"const": "file"}, "deleted": {"type": "boolean"}},
    }  # fmt: skip
    content = _operation("readFile", "The file's content", None, 404, parameters=[_name("file_id")])
    content["responses"]["200"]["content"] = {"application/jsonl": {"schema": {"type": "string"}}}
    content["responses"]["206"] = {"description": "a part of it, by `Range`"}
    return {
        "/v1/files": {
            "get": _operation("listFiles", "A page of files", _ref("FileList"), 400, parameters=pages),
            "post": _operation("uploadFile", "The new file", _ref("File"), 400, 403, 408, 413, 507, requestBody=body),
        },
        "/v1/files/{file_id}": {
            "get": _operation("getFile", "The file", _ref("File"), 404, parameters=[_name("file_id")]),
            "delete": _operation("deleteFile", "It is gone", deleted, 404, parameters=[_name("file_id")]),
        },
        "/v1/files/{file_id}/content": {"get": content},
    }


def _batches() -> Json:
    body = {"required": True, "content": {_JSON: {"schema": _ref("NewBatch")}}}
    pages = [_query("limit", {"type": "integer", "minimum": 1, "maximum": 100}), _query("after", _TEXT)]
    key: Json = {"name": "Idempotency-Key", "in": "header", "required": False,
                 "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}}  # fmt: skip
    refusals = (400, 404, 409, 413, 429, 503, 507)
    return {
        "/v1/batches": {
            "get": _operation("listBatches", "A page of batches, newest first", _ref("BatchList"), 400, parameters=pages),
            "post": _operation("createBatch", "The new batch", _ref("Batch"), *refusals, requestBody=body, parameters=[key]),
        },
        "/v1/batches/{batch_id}": {
            "get": _operation("getBatch", "The batch", _ref("Batch"), 404, parameters=[_name("batch_id")]),
        },
        "/v1/batches/{batch_id}/cancel": {
            "post": _operation("cancelBatch", "It is cancelling", _ref("Batch"), 404, 409, 507, parameters=[_name("batch_id")]),
        },
    }


def _live() -> Json:
    body = {"required": True, "content": {_JSON: {"schema": {"type": "object"}}}}
    about = "Passed through to the endpoint, before any batch; its answer, whatever its status"
    paths = {}
    for path in PATHS:
        name = "live" + path.removeprefix("/v1/").title().replace("/", "")
        one = _operation(name, about, {"type": "object"}, 400, 413, 502, 503, 504, requestBody=body)
        one["responses"]["200"]["content"]["text/event-stream"] = {"schema": _TEXT}
        one["responses"]["default"] = {"description": "what the endpoint said"}
        paths[path] = {"post": one}
    models = _operation("listModels", "The endpoint's models", {"type": "object"}, 502, 504)
    models["responses"]["default"] = {"description": "what the endpoint said"}
    return {"/v1/models": {"get": models}, **paths}


def _watching() -> Json:
    health: Json = {"type": "object", "required": ["status"], "properties": {"status": _TEXT}}
    about = {"operationId": "health", "summary": "Whether it takes requests", "security": []}
    said = {
        code: {"description": text, "content": {_JSON: {"schema": health}}} for code, text in (("200", "yes"), ("503", "no"))
    }
    figures: Json = {"200": {"description": "Prometheus' text form", "content": {"text/plain": {"schema": _TEXT}}}}
    document: Json = {"200": {"description": "this", "content": {_JSON: {"schema": {"type": "object"}}}}}
    return {
        "/healthz": {"get": {**about, "responses": said}},
        "/metrics": {"get": {"operationId": "metrics", "summary": "Figures", "security": [], "responses": figures}},
        "/openapi.json": {"get": {"operationId": "openapi", "summary": "This document", "security": [], "responses": document}},
    }


def _error() -> Json:
    inner: Json = {
        "type": "object", "required": ["message", "type", "param", "code"],
        "properties": {"message": _TEXT, "type": _TEXT, "param": _MAYBE_TEXT, "code": _MAYBE_TEXT},
    }  # fmt: skip
    return {"type": "object", "required": ["error"], "properties": {"error": inner}}


def _file() -> Json:
    properties: Json = {
        "id": _TEXT, "object": {"const": "file"}, "bytes": {"type": "integer", "minimum": 0}, "created_at": {"type": "integer"},
        "expires_at": _WHEN, "filename": _TEXT, "purpose": {"enum": ["batch", "batch_output"]},
        "status": {"const": "processed"}, "status_details": _MAYBE_TEXT,
    }  # fmt: skip
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(of: str) -> Json:
    return {
        "type": "object", "required": ["object", "data", "first_id", "last_id", "has_more"],
        "properties": {
            "object": {"const": "list"}, "data": {"type": "array", "items": _ref(of)}, "first_id": _MAYBE_TEXT,
            "last_id": _MAYBE_TEXT, "has_more": {"type": "boolean"},
        },
    }  # fmt: skip


def _expires_after() -> Json:
    return {
        "type": "object", "required": ["anchor", "seconds"], "additionalProperties": False,
        "properties": {
            "anchor": {"type": "string", "enum": ["created_at"]},
            "seconds": {"type": "integer", "minimum": EXPIRY_S[0], "maximum": EXPIRY_S[1]},
        },
    }  # fmt: skip


def _new_batch() -> Json:
    metadata: Json = {
        "type": ["object", "null"], "maxProperties": 16, "propertyNames": {"maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512},
    }  # fmt: skip
    return {
        "type": "object",
        "required": ["input_file_id", "endpoint", "completion_window"],
        "properties": {
            "input_file_id": {"type": "string", "minLength": 1, "maxLength": 200},
            "endpoint": {"type": "string", "enum": list(ENDPOINTS)},
            "completion_window": {
                "type": "string",
                "pattern": "^([1-9][0-9]?|[1-6][0-9]{2}|7[01][0-9]|720)h$|^([1-9]|[12][0-9]|30)d$",
            },
            "metadata": metadata,
            "output_expires_after": {"anyOf": [_ref("ExpiresAfter"), {"type": "null"}]},
        },
    }


def _batch() -> Json:
    times = ("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")
    count: Json = {"type": "integer", "minimum": 0}
    properties: Json = {
        "id": _TEXT, "object": {"const": "batch"}, "endpoint": _TEXT, "errors": {"type": ["object", "null"]},
        "input_file_id": _TEXT, "completion_window": _TEXT, "status": {"enum": _STATES}, "output_file_id": _MAYBE_TEXT,
        "error_file_id": _MAYBE_TEXT, "created_at": {"type": "integer"}, "expires_at": {"type": "integer"},
        "request_counts": {
            "type": "object", "required": ["total", "completed", "failed"],
            "properties": {"total": count, "completed": count, "failed": count},
        },
        "metadata": {"type": ["object", "null"]}, **dict.fromkeys(times, _WHEN),
    }  # fmt: skip
    return {"type": "object", "required": list(properties), "properties": {**properties, "usage": {"type": "object"}}}
