"""One line of a Batch output file, whoever wrote it: answered or failed, and why.

OpenAI puts an HTTP failure into `response.body.error` and others into `error` {code, message}; `vllm run-batch` writes
`error` as a text or as {"error": {code, message}} beside a response without a body; files with status 0 and with
`response` null have been seen. Nothing counts as an answer but a 2xx with a body that is an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchllm.types import Json


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a line says of its request. `code` and `message` are empty for an answer."""

    custom_id: str
    answered: bool
    code: str = ""
    message: str = ""


def no_outcome(record: Json) -> str | None:
    """Why a line tells nothing of any request; None if it does."""
    custom_id = record.get("custom_id")
    return None if type(custom_id) is str and custom_id else "there is no custom_id"


def outcome(record: Json) -> Outcome:
    """Reads a line that has a `custom_id`; never raises."""
    custom_id: str = record["custom_id"]
    response = record.get("response")
    response = response if type(response) is dict else {}
    status, body = response.get("status_code"), response.get("body")
    if type(status) is int and 200 <= status < 300 and type(body) is dict and not record.get("error"):
        return Outcome(custom_id, True)
    code, message = _why(record.get("error")) or _why(body) or ("", "")
    return Outcome(custom_id, False, code or _by_status(status), message or "there is no answer and no reason")


def _why(error: Any) -> tuple[str, str] | None:
    """Code and message of an error in any of its shapes; None where there is none."""
    if type(error) is str and error:
        return "", error
    if type(error) is not dict:
        return None
    inner = error.get("error")
    if inner:
        return _why(inner)
    code = error.get("code") or error.get("type")
    message = error.get("message") or error.get("msg")
    if not code and not message:
        return None
    return str(code or ""), str(message or "")


def _by_status(status: Any) -> str:
    return f"status {status}" if type(status) is int and status else "no_response"
