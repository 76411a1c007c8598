"""The API's objects as they are stored and sent: files, batches, lists; and what a request to make a batch may say. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batchllm.endpoints import TABLE, suffix
from batchllm.gateway.api_error import invalid
from batchllm.types import Json

OPEN = ("validating", "in_progress", "finalizing", "cancelling")
"""A batch in one of these states is not at its end."""
ENDPOINTS = tuple(f"/v1/{name}" for name in TABLE)
EXPIRY_S = (3600, 30 * 86400)
"""What `expires_after` may say, as at the real service."""
_WINDOW = re.compile(r"([1-9][0-9]{0,2})([hd])", re.ASCII)
LONGEST_WINDOW_S = 30 * 86400


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a tenant; its content lies under its id. `lines` counts line ends, and an unfinished last line."""

    id: str
    tenant: str
    filename: str
    bytes: int
    lines: int
    purpose: str
    created_at: int
    expires_at: int | None = None

    def to_json(self) -> Json:
        return {
            "id": self.id, "object": "file", "bytes": self.bytes, "created_at": self.created_at, "filename": self.filename,
            "purpose": self.purpose, "status": "processed", "status_details": None, "expires_at": self.expires_at,
        }  # fmt: skip


class ExpiresAfter(BaseModel):
    """When a file goes by itself: seconds after it was made."""

    model_config = ConfigDict(extra="forbid", strict=True)
    anchor: str = Field(pattern="^created_at$")
    seconds: int = Field(ge=EXPIRY_S[0], le=EXPIRY_S[1])


class NewBatch(BaseModel):
    """The body of `POST /v1/batches`. Unknown fields are ignored, as the real service does with most."""

    model_config = ConfigDict(strict=True)
    input_file_id: str = Field(min_length=1, max_length=200)
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: ExpiresAfter | None = None

    @property
    def window_s(self) -> int:
        return window_s(self.completion_window)


def new_batch(body: Any) -> NewBatch:
    """The request to make a batch. Raises `ApiError` (400) that names the parameter."""
    if not isinstance(body, dict):
        raise invalid("The body has to be a JSON object.")
    try:
        asked = NewBatch.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(map(str, first["loc"])) or None
        if first["type"] == "missing":
            raise invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter") from None
        raise invalid(f"Invalid value for '{param}': {first['msg']}.", param, "invalid_value") from None
    if suffix(asked.endpoint) is None or not asked.endpoint.startswith("/v1/"):
        listed = ", ".join(ENDPOINTS)
        raise invalid(f"Invalid value for 'endpoint'. Supported values are: {listed}.", "endpoint", "invalid_value")
    _ = asked.window_s
    _check_metadata(asked.metadata or {})
    return asked


def window_s(text: str) -> int:
    """Seconds of a `completion_window` such as 24h or 7d. Raises `ApiError` (400)."""
    found = _WINDOW.fullmatch(text)
    seconds = int(found[1]) * (3600 if found[2] == "h" else 86400) if found else 0
    if not 0 < seconds <= LONGEST_WINDOW_S:
        raise invalid("'completion_window' has to be like 24h or 7d, 30 days at most.", "completion_window", "invalid_value")
    return seconds


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > 16:
        raise invalid("'metadata' holds at most 16 pairs.", "metadata")
    if any(len(key) > 64 or len(value) > 512 for key, value in metadata.items()):
        raise invalid("In 'metadata' a key has at most 64 characters and a value at most 512.", "metadata")


def batch_json(asked: NewBatch, now: int) -> Json:
    """A new batch as the API shows it."""
    return {
        "id": new_id("batch_"), "object": "batch", "endpoint": asked.endpoint, "errors": None,
        "input_file_id": asked.input_file_id, "completion_window": asked.completion_window, "status": "validating",
        "output_file_id": None, "error_file_id": None, "created_at": now, "in_progress_at": None,
        "expires_at": now + asked.window_s, "finalizing_at": None, "completed_at": None, "failed_at": None,
        "expired_at": None, "cancelling_at": None, "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0}, "metadata": asked.metadata,
    }  # fmt: skip


def moved(batch: Json, status: str, now: int, **more: Any) -> Json:
    """The batch in another state, with the time it came to it."""
    return {**batch, "status": status, f"{status}_at": now, **more}


def page(objects: Sequence[Json], *, has_more: bool) -> Json:
    """A list as the API sends it."""
    first, last = (objects[0]["id"], objects[-1]["id"]) if objects else (None, None)
    return {"object": "list", "data": list(objects), "first_id": first, "last_id": last, "has_more": has_more}


def usage_json(usage: Json) -> Json:
    """The `usage` of a finished batch, from a run's summary; what nobody told counts as zero, as the type has no null."""
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return {
        "input_tokens": prompt, "input_tokens_details": {"cached_tokens": usage.get("cached_tokens") or 0},
        "output_tokens": completion, "output_tokens_details": {"reasoning_tokens": usage.get("reasoning_tokens") or 0},
        "total_tokens": prompt + completion,
    }  # fmt: skip


def new_id(prefix: str) -> str:
    """An id nobody can guess."""
    return prefix + secrets.token_hex(16)


def whole_number(text: str | None, name: str, least: int, most: int, default: int) -> int:
    """A number of a query. Raises `ApiError` (400)."""
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,9}", text, re.ASCII) or not least <= int(text) <= most:
        raise invalid(f"'{name}' has to be a whole number from {least} to {most}.", name, "invalid_value")
    return int(text)
