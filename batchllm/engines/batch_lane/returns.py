"""What a line of a batch's files means: a reply to be judged like a live one, a failure, or that it was never begun. Pure.

The shapes (see PROTOCOL, output and error lines of the Batch API): a success has a status of 200 and a body; a refusal has
another status and the API's error in the body, though some put it into `error`; what was not carried out has no response
and an `error.code`. Real files have shown a status of 0, and lacked lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from batchllm.engines.batch_lane.remote import Fault, Seen
from batchllm.errors import Phase, TransportError
from batchllm.item import Item
from batchllm.steps import Step
from batchllm.strictjson import dumps
from batchllm.types import Json, Reply

NEVER_BEGUN = frozenset({"batch_expired", "batch_cancelled"})
_QUEUE_FULL = ("token_limit", "enqueued", "queue", "too_many_batches", "rate_limit", "batch_limit")
OVER = frozenset({"completed", "failed", "expired", "cancelled"})
_WORDS = {"success": "completed", "succeeded": "completed", "timeout_exceeded": "expired", "canceled": "cancelled",
          "canceling": "cancelling", "cancellation_requested": "cancelling"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Returned:
    """One line's outcome as plain JSON, so that it can wait in a file: a reply, or words for why there is none."""

    status: int = 0
    request_id: str | None = None
    body: Any = None
    failure: str = ""

    def judged(self, item: Item, now: float, latency_s: float) -> Step:
        """The same judgement as over a live reply; `latency_s` is how long the batch took."""
        item.call(now)
        if self.failure:
            phase = Phase.TOTAL if "timeout" in self.failure else Phase.READ
            return item.failed(TransportError(phase, self.failure), now, 0.5)
        headers = {"x-request-id": self.request_id} if self.request_id else {}
        body = b"" if self.body is None else dumps(self.body)
        answered = 200 <= self.status < 300
        return item.received(Reply(self.status, headers, body, latency_s if answered else 0.0), now, 0.5)

    def as_json(self) -> Json:
        return {"status": self.status, "request_id": self.request_id, "body": self.body, "failure": self.failure}

    @classmethod
    def from_json(cls, value: Json) -> Returned:
        return cls(int(value.get("status") or 0), value.get("request_id"), value.get("body"), str(value.get("failure") or ""))


def returned(line: Json) -> Returned | None:
    """What a line of an output or error file came to; None where it was never begun, which costs nothing."""
    response, error = line.get("response"), line.get("error")
    code, words = _error(error)
    if not isinstance(response, dict):
        if code in NEVER_BEGUN:
            return None
        return Returned(failure=f"the batch returned no response: {code or 'no reason given'} {words}".strip())
    status, body = response.get("status_code"), response.get("body", line.get("response_body"))
    if type(status) is not int or not 100 <= status < 600:
        return Returned(failure=f"the batch returned status {status!r} and no answer")
    if body is None and not isinstance(error, dict):
        return Returned(failure=f"the batch returned status {status} and no body")
    request_id = response.get("request_id")
    return Returned(status, request_id if isinstance(request_id, str) else None, {"error": error} if body is None else body)


MISSING = Returned(failure="the batch's files have no line for this request")


def rejected(fault: Fault) -> Returned:
    """A line that the validation of a batch has named."""
    error = {"message": fault.message or "the line was not accepted", "type": "invalid_request_error", "code": fault.code}
    return Returned(400, None, {"error": error})


def _error(error: Any) -> tuple[str, str]:
    """Code and words, in each of the shapes that are seen: an object, the API's object within, or a text."""
    if isinstance(error, dict):
        within = error.get("error")
        inner = within if isinstance(within, dict) else error
        return str(inner.get("code") or inner.get("type") or ""), str(inner.get("message") or "")[:200]
    return ("", error[:200]) if isinstance(error, str) else ("", "")


def word(status: str) -> str:
    """A provider's word for a status, as OpenAI says it; an unknown one means: not yet."""
    low = status.strip().lower()
    return _WORDS.get(low, low)


def files_due(seen: Seen) -> bool:
    """Whether a batch that is over should have files, and shows no id of them yet."""
    if seen.status == "failed":
        return False
    if seen.output_file_id is None and seen.error_file_id is None:
        return seen.status == "completed" or bool(seen.counts.get("completed"))
    return seen.output_file_id is None and bool(seen.counts.get("completed"))


def queue_is_full(faults: tuple[Fault, ...]) -> bool:
    """Whether a batch failed because others have to end first."""
    return bool(faults) and all(
        one.line is None and any(name in f"{one.code} {one.message}".lower() for name in _QUEUE_FULL) for one in faults
    )


def as_error_body(faults: tuple[Fault, ...]) -> bytes:
    """The first fault as an API's error, for the tables that say what stops a run."""
    first = faults[0] if faults else Fault("", "the batch failed without a reason")
    return orjson.dumps({"error": {"code": first.code, "message": first.message}})
