"""How each kind of refusal is worded, and the shapes of error bodies; `dialects.py` says who uses what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "bad_request",
    "not_found",
    "too_long",
    "too_large",
    "filtered",
    "bad_key",
    "no_credit",
    "rate_limited",
    "tokens_limited",
    "busy",
    "server_error",
    "unavailable",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to say no. `message` is the default; a caller may know better."""

    status: int
    type: str | None
    code: str | int | None
    message: str
    param: str | None = None


STANDARD: Mapping[Kind, Refusal] = {
    "bad_request": Refusal(400, "invalid_request_error", None, "Invalid request."),
    "not_found": Refusal(
        404,
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
        "model",
    ),
    "too_long": Refusal(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is exceeded by your messages.",
        "messages",
    ),
    "too_large": Refusal(413, "invalid_request_error", "request_too_large", "Request body too large."),
    "filtered": Refusal(
        400,
        "invalid_request_error",
        "content_policy_violation",
        "Your request was rejected by the safety system.",
    ),
    "bad_key": Refusal(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "no_credit": Refusal(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "rate_limited": Refusal(429, "requests", "rate_limit_exceeded", "Rate limit reached on requests per min (RPM)."),
    "tokens_limited": Refusal(429, "tokens", "rate_limit_exceeded", "Rate limit reached on tokens per min (TPM)."),
    "busy": Refusal(429, "requests", "rate_limit_exceeded", "Too many concurrent requests."),
    "server_error": Refusal(
        500, "server_error", None, "The server had an error while processing your request. Sorry about that!"
    ),
    "unavailable": Refusal(
        503,
        "server_error",
        "server_is_overloaded",
        "The engine is currently overloaded, please try again later.",
    ),
}
"""OpenAI's words."""

Shape = Callable[[Refusal, str, str], dict[str, Any]]
"""(refusal, message, request id) -> error body"""


def openai_shape(no: Refusal, message: str, _: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": no.type, "param": no.param, "code": no.code}}


def azure_shape(no: Refusal, message: str, _: str) -> dict[str, Any]:
    """Azure's gateway: the status as text for a code; a filtered prompt comes with the verdict."""
    error: dict[str, Any] = {"code": str(no.code or no.status), "message": message}
    if no.code == "content_filter":
        verdict = {
            "violence": {"filtered": True, "severity": "medium"},
            "hate": {"filtered": False, "severity": "safe"},
        }
        error |= {
            "type": None,
            "param": "prompt",
            "status": no.status,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": verdict},
        }
    return {"error": error}


def dashscope_shape(no: Refusal, message: str, request_id: str) -> dict[str, Any]:
    return {**openai_shape(no, message, request_id), "request_id": request_id}


def modelscope_shape(no: Refusal, message: str, request_id: str) -> dict[str, Any]:
    """`errors`, in the plural, without a code."""
    return {"errors": {"message": message}, "request_id": request_id}


def siliconflow_shape(no: Refusal, message: str, _: str) -> dict[str, Any]:
    """No `error` object at all."""
    return {"code": no.code, "message": message, "data": None}


def openrouter_shape(no: Refusal, message: str, _: str) -> dict[str, Any]:
    return {
        "error": {"code": no.status, "message": message, "metadata": {"provider_name": "Simulated"}},
        "user_id": "user_simulated",
    }


def detail_shape(no: Refusal, message: str, _: str) -> dict[str, Any]:
    """FastAPI's own: no error object, no code."""
    return {"detail": message}


def vllm_shape(no: Refusal, message: str, _: str) -> dict[str, Any]:
    """A wrong key is answered before the server's own error shape is known."""
    if no.status == 401:
        return {"error": message}
    return {"error": {"message": message, "type": no.type, "param": no.param, "code": no.status}}
