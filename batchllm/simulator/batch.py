"""One simulated batch: what it holds, how it is shown, and what its lines come to in its files."""

from asyncio import Event
from dataclasses import dataclass, field
from time import time
from typing import Any

import orjson

from batchllm.simulator.batch_orders import BatchOrders
from batchllm.simulator.reply import Reply

FINAL = frozenset({"completed", "failed", "expired", "cancelled"})
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations")
_STAMPS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


@dataclass(slots=True)
class Batch:
    """The state of one batch. `shown` is the API's object; the rest is the server's own."""

    id: str
    input_file: str
    endpoint: str
    window: str
    metadata: dict[str, str] | None
    created: float
    """By the server's monotonic clock; `born` is the time of day."""
    tokens: int = 0
    born: int = field(default_factory=lambda: int(time()))
    status: str = "validating"
    errors: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    completed: int = 0
    failed: int = 0
    output: bytearray = field(default_factory=bytearray)
    error: bytearray = field(default_factory=bytearray)
    output_file: str | None = None
    error_file: str | None = None
    cancelled: Event = field(default_factory=Event)
    hidden: int = 0
    """So many times more the ids of its files are shown as null."""
    _stamps: dict[str, int] = field(default_factory=dict)

    def turn(self, status: str) -> None:
        self.status = status
        self._stamps[status] = int(time())

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    def shown(self, *, metadata: bool = True, wrong_counts: bool = False) -> dict[str, Any]:
        """The object as the API sends it; each showing of a finished one uses up one of `hidden`."""
        hide = self.ended and self.hidden > 0
        self.hidden -= hide
        off = 3 if wrong_counts else 0
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": None if hide else self.output_file,
            "error_file_id": None if hide else self.error_file,
            "created_at": self.born,
            "expires_at": self.born + 86_400,
            **{f"{name}_at": self._stamps.get(name) for name in _STAMPS},
            "request_counts": {"total": self.total + off, "completed": self.completed, "failed": self.failed + off},
            "metadata": self.metadata if metadata else None,
        }

    def answered(self, custom_id: str, reply: Reply, request_id: str) -> None:
        """One line's reply into the file it belongs to: a status that is no 2xx goes to the errors."""
        response = {"status_code": reply.status, "request_id": request_id, "body": orjson.Fragment(reply.body or b"null")}
        if reply.status == 200:
            self.completed += 1
            self.output += self._line(custom_id, request_id, response, None)
        else:
            self.failed += 1
            self.error += self._line(custom_id, request_id, response, None)

    def unanswered(self, custom_id: str, request_id: str, code: str, message: str) -> None:
        """A line that was not carried out."""
        self.failed += 1
        self.error += self._line(custom_id, request_id, None, {"code": code, "message": message})

    def _line(self, custom_id: str, request_id: str, response: Any, error: Any) -> bytes:
        line = {"id": f"batch_{request_id}", "custom_id": custom_id, "response": response, "error": error}
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def lines_of(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line.strip()]


def objections(data: bytes, endpoint: str, orders: BatchOrders) -> list[dict[str, Any]]:
    """What the API finds wrong with an input file, with the numbers of the lines; it takes all of it or nothing."""
    lines = lines_of(data)
    if not lines:
        return [_error("empty_file", "The input file is empty.", None)]
    if len(lines) > orders.max_lines:
        return [_error("too_many_tasks", f"The file has more than {orders.max_lines} requests.", None)]
    seen: set[str] = set()
    found = []
    for number, raw in enumerate(lines, 1):
        if len(raw) > orders.max_line_bytes:
            found.append(_error("request_too_large", f"A line may have {orders.max_line_bytes} bytes.", number))
        elif wrong := _objection(raw, endpoint, seen):
            found.append(_error(*wrong, number))
    return found


def _objection(raw: bytes, endpoint: str, seen: set[str]) -> tuple[str, str] | None:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return "invalid_json_line", "This line is not parseable as valid JSON."
    if not isinstance(line, dict) or not isinstance(line.get("body"), dict):
        return "invalid_request", "Each line needs a 'body' object."
    custom_id = line.get("custom_id")
    if not isinstance(custom_id, str):
        return "missing_required_parameter", "Missing required parameter: 'custom_id'."
    if custom_id in seen:
        return "duplicate_custom_id", f"The custom_id '{custom_id}' appears more than once."
    seen.add(custom_id)
    if line.get("method") != "POST":
        return "invalid_method", "The only supported method is POST."
    if line.get("url") != endpoint:
        return "mismatched_endpoint", f"The url must be {endpoint}, the batch's endpoint."
    if not line["body"].get("model"):
        return "missing_required_parameter", "Missing required parameter: 'body.model'."
    if line["body"].get("stream"):
        return "invalid_request", "The 'stream' parameter is not supported."
    return None


def _error(code: str, message: str, line: int | None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": line}
