"""A refusal in the API's own shape: `{"error": {"message", "type", "param", "code"}}`, as openai-python reads it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from batchllm.errors import BatchllmError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_RETRY = {"x-should-retry": "false"}
"""openai-python repeats every 429 and 5xx but where this header says no."""


class ApiError(BatchllmError):
    """What a client is told. `kind` stands under `type`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that cannot be taken as it is."""
    return ApiError(400, message, param=param, code=code)


def no_file(file_id: str) -> ApiError:
    """There is none, or it is somebody else's: the same words for both."""
    return ApiError(404, f"No such File object: {file_id[:100]}", param="id")


def no_batch(batch_id: str) -> ApiError:
    return ApiError(404, f"No batch found with id '{batch_id[:100]}'.", param="batch_id")


def unknown_token() -> ApiError:
    message = "Incorrect API key provided. Send one of this gateway's tokens as 'Authorization: Bearer TOKEN'."
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def too_large(message: str) -> ApiError:
    return ApiError(413, message, param="file", code="file_too_large")


def full_disk() -> ApiError:
    """Nothing was accepted: what a client holds it still has to send."""
    return ApiError(
        507, "The gateway's disk takes no more; nothing was accepted.", kind="server_error", code="insufficient_storage",
        headers=NO_RETRY,
    )  # fmt: skip


def stopping() -> ApiError:
    return ApiError(503, "The gateway is stopping; ask again.", kind="server_error", headers={"Retry-After": "5"})
