"""What OpenTelemetry's GenAI conventions call things: attributes of a request, of its answer, of what it used. Pure."""

from __future__ import annotations

from batchllm.steps import Done
from batchllm.strictjson import dumps, loads
from batchllm.types import Json, Usage

TOKEN_BUCKETS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
DURATION_BUCKETS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
OPERATIONS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
}
PROVIDERS = {"azure": "azure.ai.openai", "gemini": "gcp.gemini", "mistral": "mistral_ai"}
"""Those whose well-known value is not our own name for them."""
_NUMBERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
_COUNTS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "top_k": "gen_ai.request.top_k",
    "dimensions": "gen_ai.embeddings.dimension.count",
}


def operation(url: str) -> str:
    """The operation's name; a path the conventions do not know is called by its last step."""
    return next((name for path, name in OPERATIONS.items() if url.endswith(path)), url.rstrip("/").rpartition("/")[2])


def provider_name(name: str) -> str:
    return PROVIDERS.get(name, name)


def request_attributes(body: Json) -> Json:
    """The parameters of a request; never its prompt."""
    found: Json = {}
    for key, name in _NUMBERS.items():
        if type(body.get(key)) in (int, float):
            found[name] = float(body[key])
    for key, name in _COUNTS.items():
        if type(body.get(key)) is int:
            found[name] = body[key]
    if type(body.get("n")) is int and body["n"] != 1:
        found["gen_ai.request.choice.count"] = body["n"]
    if body.get("stream") is True:
        found["gen_ai.request.stream"] = True
    stop = body.get("stop")
    if isinstance(stop, str) or (isinstance(stop, list) and all(isinstance(one, str) for one in stop)):
        found["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if isinstance(wanted := body.get("response_format"), dict):
        found["gen_ai.output.type"] = "text" if wanted.get("type") == "text" else "json"
    return found


def response_attributes(came: Done | Json) -> Json:
    """What came of a request: the answer's id, model and finish, or the class of its failure, and our own names for it."""
    if not isinstance(came, Done):
        found = {"batchllm.custom_id": came.get("custom_id"), "batchllm.line": came.get("line"),
                 "batchllm.attempt": came.get("attempt"), "http.response.status_code": came.get("status") or None,
                 "error.type": came.get("code") or came.get("kind")}  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}
    record = came.record
    found = {"batchllm.custom_id": record.custom_id, "batchllm.line": record.line,
             "batchllm.attempt": record.facts.get("attempts"), "batchllm.cost_usd": record.facts.get("cost_usd"),
             "gen_ai.response.time_to_first_chunk": record.facts.get("ttft_s"),
             "http.response.status_code": record.status_code or None,
             "error.type": None if record.ok else str(record.code), **_reply(record.reply)}  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _reply(reply: bytes | None) -> Json:
    try:
        body = loads(reply) if reply is not None else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return {}
    choices = body.get("choices")
    ends = [one.get("finish_reason") for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
    named = {"gen_ai.response.id": body.get("id"), "gen_ai.response.model": body.get("model")}
    found: Json = {name: value for name, value in named.items() if isinstance(value, str)}
    if ends and all(isinstance(one, str) for one in ends):
        found["gen_ai.response.finish_reasons"] = ends
    return found


def usage_attributes(usage: Usage | None) -> Json:
    """The tokens of one request, as far as the provider told."""
    if usage is None:
        return {}
    found = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def messages(body: Json, came: Done | Json) -> Json:
    """Prompt and answer as the conventions' JSON: only for those who ask for it."""
    asked = body.get("messages", body.get("input", body.get("prompt")))
    if not isinstance(asked, list):
        asked = [{"role": "user", "content": asked}]
    found: Json = {"gen_ai.input.messages": dumps([_message(one) for one in asked]).decode()}
    if isinstance(came, Done) and came.record.text is not None:
        ends = _reply(came.record.reply).get("gen_ai.response.finish_reasons", [""])
        answer = {"role": "assistant", "parts": [{"type": "text", "content": came.record.text}], "finish_reason": ends[0]}
        found["gen_ai.output.messages"] = dumps([answer]).decode()
    return found


def _message(one: object) -> Json:
    if not isinstance(one, dict):
        return {"role": "user", "parts": [{"type": "text", "content": str(one)}]}
    content = one.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "content": content}]
    return {"role": str(one.get("role", "user")), "parts": [_part(part) for part in parts]}


def _part(part: object) -> Json:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {"type": "text", "content": part["text"]}
    return dict(part) if isinstance(part, dict) else {"type": "text", "content": str(part)}
