"""The lines of a batch as this gateway takes them: the API's own form, all to the batch's endpoint; and what is wrong with others."""

from __future__ import annotations

from batchllm.errors import ErrorCode
from batchllm.sources.job_file import LineReader
from batchllm.sources.raw_lines import TooLong
from batchllm.types import BadLine, Json, Request

SHOWN = 100
"""Bad lines that a failed batch names; all are counted."""
_ID, _BODY = b'"custom_id"', b'"body"'


class BatchLine:
    """Reads lines as `RequestLine` does, and refuses what the Batch API would: another form, another endpoint."""

    def __init__(self, reader: LineReader, endpoint: str) -> None:
        self._reader = reader
        self._endpoint = endpoint

    def read(self, number: int, raw: bytes | TooLong, *, again: bool = False) -> Request | BadLine:
        one = self._reader.read(number, raw, again=again)
        if again or isinstance(one, BadLine):
            return one
        assert isinstance(raw, bytes)
        problem = self._problem(one, raw)
        return one if problem is None else BadLine(number, one.custom_id, ErrorCode.INVALID_LINE, problem)

    def _problem(self, one: Request, raw: bytes) -> str | None:
        # A quote inside a JSON text is escaped, so these stand for keys wherever they occur (or for values, harmlessly).
        if _ID not in raw:
            return "Missing required parameter: 'custom_id'."
        if _BODY not in raw:
            return "Missing required parameter: 'body'."
        if one.url != self._endpoint:
            return f"The URL '{one.url[:60]}' does not match the batch's endpoint '{self._endpoint}'."
        return None


def findings(bad: list[BadLine], count: int) -> Json:
    """The `errors` of a batch that failed its validation: line numbers count from 1, as the API's do."""
    data = [
        {"code": code, "message": one.message, "param": param, "line": one.line} for one in bad for code, param in (_code(one),)
    ]
    if count > len(bad):
        data.append({"code": "more_errors", "message": f"… and {count - len(bad)} more lines", "param": None, "line": None})
    return {"object": "list", "data": data}


def _code(one: BadLine) -> tuple[str, str | None]:
    if one.code is ErrorCode.DUPLICATE_CUSTOM_ID:
        return "duplicate_custom_id", "custom_id"
    if one.message.startswith("Missing required parameter: "):
        return "missing_required_parameter", one.message.split("'")[1]
    if one.message.startswith("The URL "):
        return "url_mismatch", "url"
    return "invalid_json_line" if "JSON" in one.message else "invalid_request", None


def one_finding(code: str, message: str, param: str | None = None) -> Json:
    """The `errors` of a batch whose file as a whole cannot be used."""
    return {"object": "list", "data": [{"code": code, "message": message, "param": param, "line": None}]}
