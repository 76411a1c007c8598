"""Between the Batch API's lines and the short ones.

To OpenAI: `{"custom_id", "method", "url", "body"}` and nothing else, every body whole. From OpenAI: the body's fields beside
the `custom_id`, and the `url` where it is not chat completions.
"""

from __future__ import annotations

from batchllm.endpoints import DEFAULT, UnknownPathError, suffix
from batchllm.sources.request_line import RequestLine
from batchllm.types import BadLine, Json, Request

MOST_LINES, MOST_BYTES = 50_000, 200 << 20
"""What the Batch API takes in one file."""
_OURS = ("metadata", "schema")


class FormError(ValueError):
    """Why a line has no such form; the text is a sentence without the line's number."""


class ToOpenAI:
    """Lines of a job as the Batch API takes them."""

    def __init__(self, model: str | None, url: str | None) -> None:
        self._reader = RequestLine({} if model is None else {"model": model}, url or DEFAULT)

    def line(self, number: int, raw: bytes) -> Json:
        request = self._reader.read(number, raw)
        if isinstance(request, BadLine):
            raise FormError(request.message)
        if request.extras is not None:
            raise FormError("local files and turns are sent by `batchllm run` only")
        return {"custom_id": request.custom_id, "method": "POST", "url": _path(request), "body": request.body}


def _path(request: Request) -> str:
    name = suffix(request.url)
    if name is None:
        raise UnknownPathError(request.url)
    return f"/v1/{name}"


def from_openai(values: Json) -> Json:
    """One line of the Batch form as a short one."""
    body = values.get("body")
    if type(body) is not dict:
        raise FormError("there is no 'body': it is no line of the Batch form")
    clash = body.keys() & {"custom_id", "url", "schema"}
    if clash:
        raise FormError(f"'{min(clash)}' stands in its body, where a short line says something else by it")
    made = {"custom_id": values["custom_id"]} if "custom_id" in values else {}
    if values.get("url", DEFAULT) != DEFAULT:
        made["url"] = values["url"]
    facts = {name: values[name] for name in _OURS if name in values}
    if "metadata" in body:
        raise FormError("'metadata' stands in its body, where a short line means its own")
    return {**made, **body, **facts}
