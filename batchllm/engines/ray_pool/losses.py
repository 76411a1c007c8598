"""What is written of lines whose worker was lost, and of answers that came when others had been kept. Pure but for the date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from batchllm.billing import Charge, worst_case
from batchllm.engines.ray_pool.custody import MAX_LOSSES
from batchllm.errors import ErrorCode
from batchllm.records import Record, attempt_note, usage_json, worst_json
from batchllm.route import Route
from batchllm.steps import Asked, Done, Finished
from batchllm.strictjson import dumps, loads
from batchllm.types import NO_USAGE, Json, Kind, Request, Verdict

_LATE = {"yes": Kind.PAID, "maybe": Kind.MAYBE_PAID, "no": Kind.FINAL}


@dataclass(frozen=True, slots=True)
class _Answered:
    request: Request
    last: Charge

    @property
    def body(self) -> Json:
        return self.request.body


def answered(request: Request, last: Charge) -> Asked:
    """A line that a worker asked, as far as those want to know it who keep what came of it."""
    return cast(Asked, _Answered(request, last))


def light(number: int, custom_id: str = "", model: object = None) -> Request:
    """A request without its prompt."""
    return Request(number, custom_id, "", {} if model is None else {"model": model}, "")


def in_flight(request: Request, route: Route, why: str) -> tuple[Json, Charge]:
    """The note of a request that was out when its worker was lost: nobody knows what became of it."""
    worst = worst_case(request.body, request.url, route.prices(request.body.get("model", "")), route.assumed)
    note: Json = {
        "custom_id": request.custom_id,
        "line": request.line,
        "attempt": 1,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "kind": str(Kind.MAYBE_PAID),
        "code": str(ErrorCode.CONNECTION),
        "message": f"its worker was lost ({why}): the outcome is unknown",
        "status": 0,
        "wait_s": 0.0,
        "billed": "maybe",
        "usage": None,
        "cost_usd": None,
        "at_most": worst_json(worst),
        "latency_s": None,
    }
    return note, Charge("maybe", worst=worst)


def given_up(request: Request, route: Route) -> Done:
    """The record of a line that was in flight each time a worker was lost; another run asks it again."""
    facts: Json = {
        "line": request.line, "digest": request.digest, "settings": route.settings_digest, "usage": usage_json(NO_USAGE),
        "attempts": MAX_LOSSES, "latency_s": 0.0, "ttft_s": None, "cost_usd": None, "provider": route.provider.name,
        "billed": "no", "retryable": True, "unknown_outcomes": MAX_LOSSES,
    }  # fmt: skip
    if request.metadata is not None:
        facts["metadata"] = request.metadata
    message = f"{MAX_LOSSES} workers were lost while it was asked: it is left out, so that the run can end"
    code = ErrorCode.CONNECTION
    return Done(Record(request.line, request.custom_id, request.digest, code=code, message=message, facts=facts))


def record_of(answer: Finished) -> Record:
    """The record that another process made, as far as a note of it goes."""
    made = loads(answer.record)
    response, facts = made["response"], made["batchllm"]
    reply = None if response["body"] is None else dumps(response["body"])
    return Record(
        answer.line, answer.custom_id, facts["digest"], response["status_code"], response["request_id"], reply, facts=facts
    )


def superseded(record: Record, charge: Charge) -> Json:
    """The note of an answer that came after another had been kept: it may have been paid for."""
    message = "a second answer: its worker had been given up for lost, and the line was asked again; the first one is kept"
    return attempt_note(record, charge, Verdict(_LATE[charge.billed], ErrorCode.CONNECTION, message))
