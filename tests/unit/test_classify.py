"""What each reply means: one row per line of the retry table, per signal of the classification, per "
"shape of error."""

from __future__ import annotations

from datetime import UTC, datetime
from time import perf_counter
from timeit import repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.classify import classify, classify_failure
from batchllm.error_body import clean, error_in
from batchllm.errors import ErrorCode, Phase, TransportError
from batchllm.providers import provider
from batchllm.refusals import Rule, words
from batchllm.strictjson import dumps
from batchllm.types import Kind, Reply, Verdict

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
E, K = ErrorCode.__members__, Kind.__members__
ANSWER = {"id": "x", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], "usage": {}}
QUOTA_TEXT = "You exceeded your current quota, please check your plan and billing details."


def err(message: str = "m", code: Any = None, type: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code, **more}}


def judged(
    status: int, body: Any = None, headers: dict[str, str] | None = None, by: str = "", raw: bytes | None = None
) -> Verdict | None:
    data = raw if raw is not None else b"" if body is None else dumps(body)
    return classify(Reply(status, headers or {}, data, 1.0), body, provider(by).rules if by else (), now=NOW)


def google(text: str, **violation: str) -> list[dict[str, Any]]:
    details = [{"@type": "google.rpc.QuotaFailure", "violations": [violation]}, {"@type": "RetryInfo", "retryDelay": "46s"}]
    return [{"error": {"code": 429, "message": text, "status": "RESOURCE_EXHAUSTED", "details": details}}]


TABLE: list[tuple[str, str, int, Any, dict[str, str], str, str]] = [
    # id, provider, status, body, headers, kind, code
    ("openai-rate", "openai", 429, err(code="rate_limit_exceeded"), {"retry-after": "2"}, "REFUSED",
     "RATE_LIMITED"),
    ("openai-slow-down", "openai", 429, err(code="slow_down", type="rate_limit_error"), {}, "REFUSED",
     "RATE_LIMITED"),
    ("openai-overloaded", "openai", 503, err(code="server_is_overloaded"), {}, "REFUSED", "SERVER_ERROR"),
    ("openai-quota", "openai", 429, err(QUOTA_TEXT, "insufficient_quota", "insufficient_quota"), {}, "STOP",
     "QUOTA_EXHAUSTED"),
    *((f"openai-{code}", by, 429, err(QUOTA_TEXT, code, "insufficient_quota"), {}, "STOP", "QUOTA_EXHAUSTED")
      for code in ("credit_balance_exhausted", "organization_spend_limit_exceeded",
          "project_spend_limit_exceeded",
                   "organization_usage_limit_exceeded", "billing_hard_limit_reached") for by in ("openai",
                   "")),
    ("openai-bad-key", "openai", 401, err("Incorrect API key provided", "invalid_api_key"), {}, "STOP",
     "AUTHENTICATION"),
    ("openai-ip", "openai", 401, err("IP not authorized"), {}, "STOP", "AUTHENTICATION"),
    ("openai-country", "openai", 403, err("Country, region, or territory not supported"), {}, "STOP",
     "AUTHENTICATION"),
    ("openai-no-model", "openai", 404, err("no such model", "model_not_found"), {}, "FINAL", "NOT_FOUND"),
    ("openai-400", "openai", 400, err("bad", None, "invalid_request_error"), {}, "FINAL", "INVALID_REQUEST"),
    ("openai-context", "openai", 400, err("too long", "context_length_exceeded"), {}, "FINAL", "TOO_LARGE"),
    ("openai-policy", "openai", 400, err("content policy", "content_policy_violation"), {}, "FINAL",
     "CONTENT_FILTER"),
    ("openai-flagged", "openai", 400, err("Your prompt was flagged as potentially violating our usage "
     "policy.",
                                          "invalid_prompt"), {}, "FINAL", "CONTENT_FILTER"),
    ("openai-422", "openai", 422, err("bad"), {}, "FINAL", "INVALID_REQUEST"),
    ("openai-too-large", "openai", 429, err("Request too large for gpt-4o on tokens per min (TPM): Limit "
     "30000, Requested "
                                            "45000.", "rate_limit_exceeded"), {}, "FINAL", "TOO_LARGE"),
    ("openai-408", "openai", 408, err(), {}, "MAYBE_PAID", "TIMEOUT"),
    ("openai-409", "openai", 409, err(), {}, "REFUSED", "SERVER_ERROR"),
    ("openai-500", "openai", 500, err("The server had an error"), {}, "MAYBE_PAID", "SERVER_ERROR"),
    ("azure-429", "azure", 429, err(code="429"), {"retry-after-ms": "900"}, "REFUSED", "RATE_LIMITED"),
    ("azure-filter", "azure", 400, err("filtered", "content_filter",
     innererror={"code": "ResponsibleAIPolicyViolation"}),
     {}, "FINAL", "CONTENT_FILTER"),
    ("azure-401", "azure", 401, {"statusCode": 401, "message": "Access denied"}, {}, "STOP",
     "AUTHENTICATION"),
    ("azure-403", "azure", 403, err("Public access is disabled"), {}, "STOP", "AUTHENTICATION"),
    ("azure-deployment", "azure", 404, err("gone", "DeploymentNotFound"), {}, "FINAL", "NOT_FOUND"),
    ("azure-batch-queue", "azure", 400, err("Enqueued", "token_limit_exceeded"), {}, "REFUSED",
     "RATE_LIMITED"),
    ("anthropic-rate", "", 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "m"}},
     {"retry-after": "5"}, "REFUSED", "RATE_LIMITED"),
    ("anthropic-spend", "", 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "m",
     "details":
     {"error_code": "enforced_spend_limit_reached"}}}, {}, "STOP", "QUOTA_EXHAUSTED"),
    ("anthropic-limits", "", 400, err("You have reached your specified API usage limits."), {}, "STOP",
     "QUOTA_EXHAUSTED"),
    ("anthropic-workspace", "", 400, err("You have reached your specified workspace API usage limits."), {},
     "STOP",
     "QUOTA_EXHAUSTED"),
    ("anthropic-402", "", 402, err(type="billing_error"), {}, "STOP", "QUOTA_EXHAUSTED"),
    ("anthropic-credit", "", 400, err("Your credit balance is too low"), {}, "STOP", "QUOTA_EXHAUSTED"),
    ("anthropic-529", "", 529, err(type="overloaded_error"), {}, "REFUSED", "SERVER_ERROR"),
    ("anthropic-413", "", 413, err(type="request_too_large"), {}, "FINAL", "TOO_LARGE"),
    ("dashscope-rps", "dashscope", 429, err(code="limit_requests"), {}, "REFUSED", "RATE_LIMITED"),
    ("dashscope-native-rate", "dashscope", 429, {"code": "Throttling.RateQuota", "message": "m",
     "request_id": "r"}, {},
     "REFUSED", "RATE_LIMITED"),
    ("dashscope-tpm", "dashscope", 429, err(QUOTA_TEXT, "insufficient_quota", "insufficient_quota"), {},
     "REFUSED",
     "RATE_LIMITED"),
    ("dashscope-native-tpm", "dashscope", 429, {"code": "Throttling.AllocationQuota",
     "message": "Allocated quota exceeded"},
     {}, "REFUSED", "RATE_LIMITED"),
    ("dashscope-free", "dashscope", 429, err("Free allocated quota exceeded.", "insufficient_quota"), {},
     "STOP",
     "QUOTA_EXHAUSTED"),
    ("dashscope-burst", "dashscope", 429, err(code="limit_burst_rate"), {}, "REFUSED", "RATE_LIMITED"),
    ("dashscope-free-only", "dashscope", 403, err("The free tier of the model has been exhausted.",
     "AllocationQuota.FreeTierOnly"), {}, "STOP", "QUOTA_EXHAUSTED"),
    ("dashscope-arrearage", "dashscope", 400, err("Access denied", "Arrearage"), {}, "STOP",
     "QUOTA_EXHAUSTED"),
    ("dashscope-key", "dashscope", 401, err(code="invalid_api_key"), {}, "STOP", "AUTHENTICATION"),
    ("dashscope-403", "dashscope", 403, err(code="access_denied"), {}, "STOP", "AUTHENTICATION"),
    ("dashscope-model", "dashscope", 404, err(code="ModelNotFound"), {}, "FINAL", "NOT_FOUND"),
    ("dashscope-400", "dashscope", 400, err(code="InvalidParameter"), {}, "FINAL", "INVALID_REQUEST"),
    ("dashscope-content", "dashscope", 400, err("Input data may contain inappropriate content.",
     "data_inspection_failed"),
     {}, "FINAL", "CONTENT_FILTER"),
    ("deepseek-402", "deepseek", 402, err("Insufficient Balance"), {}, "STOP", "QUOTA_EXHAUSTED"),
    ("deepseek-401", "deepseek", 401, err(), {}, "STOP", "AUTHENTICATION"),
    ("deepseek-422", "deepseek", 422, err(), {}, "FINAL", "INVALID_REQUEST"),
    ("deepseek-429", "deepseek", 429, err("Rate limit reached"), {}, "REFUSED", "RATE_LIMITED"),
    ("deepseek-500", "deepseek", 500, err(), {}, "MAYBE_PAID", "SERVER_ERROR"),
    ("deepseek-503", "deepseek", 503, err(), {}, "REFUSED", "SERVER_ERROR"),
    ("deepseek-empty", "deepseek", 200, None, {}, "MAYBE_PAID", "BAD_RESPONSE"),
    ("siliconflow-429", "siliconflow", 429, {"code": 50603, "message": "TPM limit reached.", "data": None},
     {}, "REFUSED",
     "RATE_LIMITED"),
    ("siliconflow-rph", "siliconflow", 429, {"message": "RPH limit reached", "data": None}, {}, "REFUSED",
     "RATE_LIMITED"),
    ("siliconflow-rpd", "siliconflow", 429, {"code": 50603, "message": "RPD limit reached", "data": None},
     {}, "PAUSE",
     "RATE_LIMITED"),
    ("siliconflow-401", "siliconflow", 401, "Invalid token", {}, "STOP", "AUTHENTICATION"),
    ("siliconflow-balance", "siliconflow", 403, {"code": 30001,
     "message": "Sorry, your account balance is insufficient",
     "data": None}, {}, "STOP", "QUOTA_EXHAUSTED"),
    ("siliconflow-503", "siliconflow", 503, {"code": 50505, "message": "Model service overloaded.",
     "data": None}, {},
     "REFUSED", "SERVER_ERROR"),
    ("siliconflow-504", "siliconflow", 504, None, {}, "MAYBE_PAID", "TIMEOUT"),
    ("siliconflow-200-error", "siliconflow", 200, {"code": 20012, "message": "Model does not exist",
     "data": None}, {},
     "FINAL", "NOT_FOUND"),
    ("modelscope-day", "modelscope", 429, {"errors": {"message": "m"}},
     {"modelscope-ratelimit-requests-remaining": "0"},
     "PAUSE", "RATE_LIMITED"),
    ("modelscope-model-day", "modelscope", 429, {"errors": {"message": "m"}},
     {"modelscope-ratelimit-model-requests-remaining": "0"}, "PAUSE", "RATE_LIMITED"),
    ("modelscope-words", "modelscope", 429, {"errors": {"message": "You have exceeded today's quota for "
     "model x"}}, {},
     "PAUSE", "RATE_LIMITED"),
    ("modelscope-rate", "modelscope", 429, {"errors": {"message": "m"}},
     {"modelscope-ratelimit-requests-remaining": "9"},
     "REFUSED", "RATE_LIMITED"),
    ("gemini-zero", "gemini", 429, google("Quota exceeded for metric: free_tier_requests, limit: 0. "
     "Please retry in 46s."),
     {}, "STOP", "QUOTA_EXHAUSTED"),
    ("gemini-402", "gemini", 402, err(), {}, "STOP", "QUOTA_EXHAUSTED"),
    ("gemini-day", "gemini", 429, google(QUOTA_TEXT + " limit: 20",
     quotaId="GenerateRequestsPerDayPerModel-FreeTier"), {},
     "PAUSE", "RATE_LIMITED"),
    ("gemini-minute", "gemini", 429, google(QUOTA_TEXT + " limit: 10 Please retry in 46s.",
     quotaId="GenerateRequestsPerMinutePerModel-FreeTier"), {}, "REFUSED", "RATE_LIMITED"),
    ("gemini-key", "gemini", 400, [{"error": {"code": 400, "message": "API key not valid. Please pass a "
     "valid API key."}}],
     {}, "STOP", "AUTHENTICATION"),
    ("openrouter-402", "openrouter", 402, err("Insufficient credits", "payment_required"), {}, "STOP",
     "QUOTA_EXHAUSTED"),
    ("openrouter-heavy", "openrouter", 402, err("m", "weight_exceeds_budget"), {}, "FINAL",
     "QUOTA_EXHAUSTED"),
    ("openrouter-in-flight", "openrouter", 402, err("m", "in_flight_budget_exhausted"), {}, "REFUSED",
     "RATE_LIMITED"),
    ("openrouter-402-wait", "openrouter", 402, err("Insufficient credits"), {"retry-after": "3"}, "REFUSED",
     "RATE_LIMITED"),
    ("openrouter-free-day", "openrouter", 429, err("Rate limit exceeded: free-models-per-day"), {}, "PAUSE",
     "RATE_LIMITED"),
    ("openrouter-moderation", "openrouter", 403, err("Your chosen model requires moderation and your "
     "input was flagged",
     403), {}, "FINAL", "CONTENT_FILTER"),
    ("coreweave-402", "", 402, err(QUOTA_TEXT), {}, "STOP", "QUOTA_EXHAUSTED"),
    ("coreweave-concurrency", "", 429, err("Concurrency limit reached for requests"), {}, "REFUSED",
     "RATE_LIMITED"),
    ("vllm-503", "vllm", 503, None, {}, "REFUSED", "SERVER_ERROR"),
    ("vllm-500", "vllm", 500, err("boom", 500, "InternalServerError"), {}, "MAYBE_PAID", "SERVER_ERROR"),
    ("vllm-dead", "vllm", 500, err("EngineCore encountered an issue.", 500, "EngineDeadError"), {},
     "UNREACHABLE",
     "SERVER_ERROR"),
    ("vllm-context", "vllm", 400, {"object": "error", "message": "This model's maximum context length is "
     "4096 tokens.",
     "type": "BadRequestError", "code": 400}, {}, "FINAL", "TOO_LARGE"),
    ("llamacpp-context", "llamacpp", 400, err("m", 400, "exceed_context_size_error"), {}, "FINAL",
     "TOO_LARGE"),
    ("ollama-queue", "ollama", 503, {"error": "server busy, maximum pending requests exceeded"}, {},
     "REFUSED", "SERVER_ERROR"),
    ("zhipu-arrears", "zhipu", 429, err("您的账户已欠费", "1113"), {}, "STOP", "QUOTA_EXHAUSTED"),
    ("zhipu-concurrency", "zhipu", 429, err("m", "1302"), {}, "REFUSED", "RATE_LIMITED"),
    ("zhipu-day", "zhipu", 429, err("m", "1304"), {}, "PAUSE", "RATE_LIMITED"),
    ("zhipu-content", "zhipu", 400, err("m", "1301"), {}, "FINAL", "CONTENT_FILTER"),
    ("moonshot-quota", "moonshot", 429, err("m", None, "exceeded_current_quota_error"), {}, "STOP",
     "QUOTA_EXHAUSTED"),
    ("moonshot-tokens", "moonshot", 400, err("Your request exceeded model token limit: 262144"), {},
     "FINAL", "TOO_LARGE"),
    ("volcengine-overdue", "volcengine", 403, err("overdue balance", "AccountOverdueError"), {}, "STOP",
     "QUOTA_EXHAUSTED"),
    ("volcengine-risk", "volcengine", 400, err("m", "InputTextRiskDetection"), {}, "FINAL", "CONTENT_FILTER"),
    ("ambiguous-quota", "", 429, err(QUOTA_TEXT, "insufficient_quota", "insufficient_quota"), {}, "PROBE",
     "QUOTA_EXHAUSTED"),
    ("ambiguous-words", "litellm", 429, err("litellm.RateLimitError: " + QUOTA_TEXT), {}, "PROBE",
     "QUOTA_EXHAUSTED"),
    ("throttled-403", "", 403, err("Too many requests, rate limit exceeded"), {}, "REFUSED", "RATE_LIMITED"),
    ("daily-tokens", "", 429, err(), {"x-ratelimit-remaining-tokens-per-day": "0"}, "PAUSE", "RATE_LIMITED"),
    ("zero-limit", "", 429, err("limit: 0"), {}, "PAUSE", "RATE_LIMITED"),
    ("zero-point-five", "", 429, err("limit: 0.5"), {}, "REFUSED", "RATE_LIMITED"),
    *((f"status-{status}", "", status, None, {}, kind, code) for status, kind, code in (
        (301, "STOP", "CONNECTION"), (302, "STOP", "CONNECTION"), (307, "STOP", "CONNECTION"),
         (308, "STOP", "CONNECTION"),
        (400, "FINAL", "INVALID_REQUEST"), (401, "STOP", "AUTHENTICATION"), (402, "STOP", "QUOTA_EXHAUSTED"),
        (403, "STOP", "AUTHENTICATION"), (404, "FINAL", "NOT_FOUND"), (405, "FINAL", "INVALID_REQUEST"),
        (407, "STOP", "CONNECTION"), (408, "MAYBE_PAID", "TIMEOUT"), (409, "REFUSED", "SERVER_ERROR"),
        (413, "FINAL", "TOO_LARGE"), (414, "FINAL", "TOO_LARGE"), (415, "FINAL", "INVALID_REQUEST"),
        (418, "FINAL", "INVALID_REQUEST"), (422, "FINAL", "INVALID_REQUEST"),
         (425, "REFUSED", "SERVER_ERROR"),
        (429, "REFUSED", "RATE_LIMITED"), (431, "FINAL", "TOO_LARGE"), (500, "MAYBE_PAID", "SERVER_ERROR"),
        (502, "MAYBE_PAID", "SERVER_ERROR"), (503, "REFUSED", "SERVER_ERROR"), (504, "MAYBE_PAID", "TIMEOUT"),
        *((status, "MAYBE_PAID", "SERVER_ERROR") for status in (520, 521, 522, 523, 525, 526, 527, 530, 599)),
        (524, "MAYBE_PAID", "TIMEOUT"), (529, "REFUSED", "SERVER_ERROR"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("by", "status", "body", "headers", "kind", "code"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_each_refusal_means(by: str, status: int, body: Any, headers: dict[str, str], kind: str, code: str) -> None:
    verdict = judged(status, body, headers, by)
    assert verdict is not None
    assert (verdict.kind, verdict.code) == (K[kind], E[code]), verdict.message
    assert 0 < len(verdict.message) <= 500


@pytest.mark.parametrize(
    "body",
    [
        ANSWER,
        {**ANSWER, "error": None},
        {"id": "r", "object": "response", "status": "completed", "error": None,
            "output": [{"type": "message"}]},
        {"object": "list", "data": [{"embedding": [0.1]}]},
        {**ANSWER, "error": {"message": "late"}},  # a whole answer beside an error stays an answer: it is paid for
        {"choices": "nonsense"}, {"choices": []}, {}, [], [1], 7, "text", True,  # the endpoint calls these bad
    ],
)  # fmt: skip
def test_a_2xx_without_an_error_is_left_to_the_endpoint(body: Any) -> None:
    assert judged(200, body) is None


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (err("m", 429), "REFUSED", "RATE_LIMITED"),
        (err("m", "502"), "MAYBE_PAID", "SERVER_ERROR"),
        (err("m", "context_length_exceeded"), "FINAL", "TOO_LARGE"),
        (err("m", None, "overloaded_error"), "REFUSED", "SERVER_ERROR"),
        (err("m", None, "authentication_error"), "STOP", "AUTHENTICATION"),
        (err("something"), "MAYBE_PAID", "SERVER_ERROR"),
        ({"error": "text"}, "MAYBE_PAID", "SERVER_ERROR"),
        ({"choices": None, "error": {"message": "m", "code": 503}}, "REFUSED", "SERVER_ERROR"),
        ({"choices": [{"finish_reason": "error", "error": {"message": "m", "code": 502}}]}, "MAYBE_PAID", "SERVER_ERROR"),
        ({"choices": [{"finish_reason": "error", "error": {"message": "m", "code": 429}}]}, "MAYBE_PAID", "RATE_LIMITED"),
        ({"choices": [{"finish_reason": "error"}]}, "MAYBE_PAID", "SERVER_ERROR"),
        ({"choices": [{"finish_reason": None}], "error": {"message": "m", "code": 429}}, "MAYBE_PAID", "RATE_LIMITED"),
        ({"status": "failed", "output": [], "error": {"message": "m", "code": "server_error"}}, "MAYBE_PAID", "SERVER_ERROR"),
        ({"status": "failed", "output": [{}], "error": {"message": "m", "code": "rate_limit_exceeded"}}, "MAYBE_PAID",
         "RATE_LIMITED"),
        ({"object": "error", "message": "m", "code": 400, "type": "BadRequestError"}, "FINAL", "INVALID_REQUEST"),
        ({"code": "Throttling.RateQuota", "message": "m"}, "MAYBE_PAID", "SERVER_ERROR"),
    ],
)  # fmt: skip
def test_a_2xx_with_an_error_counts_as_the_status_it_names(body: Any, kind: str, code: str) -> None:
    verdict = judged(200, body)
    assert verdict is not None
    assert (verdict.kind, verdict.code) == (K[kind], E[code])


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty body"),
        (b"  \n ", "empty body"),
        (b"<html><head><title>Sign in to Hotel WiFi</title>", "a web page (Sign in to Hotel WiFi)"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", "a web page"),
        (b"upstream connect error", "upstream connect error"),
        (b"\xff\xfe\x00", "HTTP 200"),
    ],
)
def test_a_200_that_is_no_json_may_have_been_paid(raw: bytes, words: str) -> None:
    verdict = judged(200, None, raw=raw)
    assert verdict is not None
    assert (verdict.kind, verdict.code) == (Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE)
    assert words in verdict.message


def test_a_web_page_elsewhere_is_judged_by_its_status() -> None:
    page = b"<html><title>502 Bad Gateway</title>"
    assert judged(502, None, raw=page) == Verdict(
        Kind.MAYBE_PAID, ErrorCode.SERVER_ERROR, "HTTP 502: a web page (502 Bad Gateway)"
    )


@pytest.mark.parametrize(
    ("body", "info"),
    [
        (err("m", "c", "t"), ("c", "t", "m", None)),
        (err("m", 429), ("429", "", "m", 429)),
        ({"error": "text"}, ("", "", "text", None)),
        ({"error": "text", "error_type": "overloaded"}, ("", "overloaded", "text", None)),
        ({"code": 20012, "message": "m", "data": None}, ("20012", "", "m", None)),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "m"}}, ("", "rate_limit_error", "m", None)),
        ({"type": "error", "message": "m"}, ("", "error", "m", None)),
        ({"detail": "Not Found"}, ("", "", "Not Found", None)),
        ({"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "missing"}]},
         ("", "missing", "body.model: field required", None)),
        ({"detail": {"error": {"message": "m", "code": "c"}}}, ("c", "", "m", None)),
        ({"errors": [{"message": "m", "code": "c"}]}, ("c", "", "m", None)),
        ({"errors": {"message": "m"}, "request_id": "r"}, ("", "", "m", None)),
        ({"object": "error", "message": "m", "code": 404, "type": "NotFoundError"}, ("404", "NotFoundError", "m", 404)),
        ([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], ("400", "INVALID_ARGUMENT", "m", 400)),
        ({"message": "Forbidden"}, ("", "", "Forbidden", None)),
        ({"object": "error", "message": {"detail": [{"loc": ["body", "x"], "msg": "extra"}]}}, ("", "", "body.x: extra", None)),
        (err("Provider returned error", 429, metadata={"raw": "slow down please"}), ("429", "", "Provider returned error: "
         "slow down please", 429)),
        (ANSWER, None), ({"code": 0, "message": "success", "data": 1}, None), ({}, None), ([], None), ("x", None), (None, None),
    ],
)  # fmt: skip
def test_the_error_object_is_found_in_every_shape(body: Any, info: tuple[str, str, str, int | None] | None) -> None:
    found = error_in(body)
    assert (found and (found.code, found.type, found.message, found.status)) == info


def test_names_are_found_where_azure_anthropic_and_google_put_them() -> None:
    azure = error_in(err("m", "content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}))
    anthropic = error_in(err("m", details={"error_code": "enforced_spend_limit_reached"}))
    gemini = error_in(google("m", quotaId="PerDay"))
    assert azure is not None
    assert "responsibleaipolicyviolation" in azure.names
    assert anthropic is not None
    assert "enforced_spend_limit_reached" in anthropic.names
    assert gemini is not None
    assert "perday" in gemini.names


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "after_s"),
    [
        (429, err(), {"retry-after": "7"}, "REFUSED", 7.0),
        (429, err(), {}, "REFUSED", None),
        (429, err(), {"retry-after": "3600"}, "REFUSED", 3600.0),
        (429, err(), {"retry-after": "10800"}, "PAUSE", 10800.0),
        (503, err(), {"retry-after": "7200"}, "PAUSE", 7200.0),
        (429, err("Please try again in 2s"), {}, "REFUSED", 2.0),
        (429, err("tokens per day (TPD). Please try again in 13m5s"), {}, "REFUSED", 785.0),
        (429, err("tokens per day (TPD). Please try again in 2h13m"), {}, "PAUSE", 7980.0),
        (429, err("tokens per day (TPD)"), {}, "PAUSE", 43200.0),
        (500, err(), {"retry-after": "4"}, "MAYBE_PAID", 4.0),
        (500, err(), {"x-ratelimit-reset-tokens": "6m0s"}, "MAYBE_PAID", None),
        (402, err(), {"retry-after": "3"}, "REFUSED", 3.0),
        (400, err(), {"retry-after": "3"}, "FINAL", None),
        (400, err("You have reached your specified API usage limits. You will regain access on 2026-02-01 at 00:00 UTC."),
         {}, "STOP", 2548800.0),
    ],
)  # fmt: skip
def test_the_servers_wait_goes_along(status: int, body: Any, headers: dict[str, str], kind: str, after_s: float | None) -> None:
    verdict = judged(status, body, headers)
    assert verdict is not None
    assert (verdict.kind, verdict.after_s) == (K[kind], after_s)


def test_a_daily_cap_ends_at_midnight_where_its_owner_lives() -> None:
    for by, body, after_h in (
        ("siliconflow", {"message": "RPD limit reached"}, 4.0),
        ("gemini", google(QUOTA_TEXT, quotaId="RequestsPerDay"), 20.0),
        ("openrouter", err("free-models-per-day"), 12.0),
    ):
        verdict = judged(429, body, by=by)
        assert verdict is not None
        assert verdict.after_s == after_h * 3600, by


@pytest.mark.parametrize(
    ("status", "body", "should", "kind"),
    [
        (500, err(), "false", "FINAL"), (503, err(), "false", "FINAL"), (409, err(), "false", "FINAL"),
        (429, err(), "false", "REFUSED"), (400, err(), "true", "MAYBE_PAID"), (500, err(), "true", "MAYBE_PAID"),
        (401, err(), "true", "STOP"), (429, err(QUOTA_TEXT, "insufficient_quota"), "false", "PROBE"),
        (429, err(QUOTA_TEXT, "credit_balance_exhausted"), "true", "STOP"), (400, err(), "maybe", "FINAL"),
    ],
)  # fmt: skip
def test_x_should_retry_overrules_but_for_rate_and_account(status: int, body: Any, should: str, kind: str) -> None:
    verdict = judged(status, body, {"x-should-retry": should})
    assert verdict is not None
    assert verdict.kind is K[kind]


def test_growing_too_fast_is_marked() -> None:
    for by, code in (("openai", "slow_down"), ("dashscope", "limit_burst_rate"), ("", "slow_down")):
        verdict = judged(429, err(code=code), by=by)
        assert verdict is not None
        assert verdict.slow_ramp
    plain = judged(429, err())
    assert plain is not None
    assert not plain.slow_ramp


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://evil.example/v1?key=sk-abcdefgh1234", "evil.example"),
        ("https://user:secret@evil.example/", "evil.example"),
        ("/login", "another address on the same host"),
        ("http://[bad", "another address on the same host"),
        ("", "no address at all"),
    ],
)
def test_a_redirect_stops_and_names_the_host_only(location: str, named: str) -> None:
    verdict = judged(307, None, {"location": location} if location else {})
    assert verdict is not None
    assert named in verdict.message
    assert "secret" not in verdict.message
    assert "sk-" not in verdict.message


@pytest.mark.parametrize(
    ("message", "kind", "fix"),
    [
        ("parameter.enable_thinking must be set to false for non-streaming calls", "STOP", "stream = true"),
        ("This model only support stream mode, please enable the stream parameter", "STOP", "enable_thinking = false"),
        ("Json mode response is not supported when enable_thinking is true", "STOP", "enable_thinking = false"),
        (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "FINAL",
            'the word "json"',
        ),
    ],
)
def test_known_400s_name_their_fix(message: str, kind: str, fix: str) -> None:
    verdict = judged(400, err(message, "invalid_parameter_error"))
    assert verdict is not None
    assert (verdict.kind, verdict.code) == (K[kind], ErrorCode.INVALID_REQUEST)
    assert fix in verdict.message
    assert "{" not in verdict.message


@pytest.mark.parametrize(
    ("phase", "kind", "code"),
    [
        ("LOCAL", "LOCAL", "CONNECTION"), ("DNS", "UNREACHABLE", "CONNECTION"), ("CONNECT", "UNREACHABLE", "CONNECTION"),
        ("TLS", "UNREACHABLE", "CONNECTION"), ("CERTIFICATE", "STOP", "CONNECTION"), ("SEND", "MAYBE_PAID", "CONNECTION"),
        ("FIRST_BYTE", "MAYBE_PAID", "TIMEOUT"), ("SILENCE", "MAYBE_PAID", "TIMEOUT"), ("TOTAL", "MAYBE_PAID", "TIMEOUT"),
        ("READ", "MAYBE_PAID", "CONNECTION"), ("TOO_LARGE", "FINAL", "BAD_RESPONSE"),
    ],
)  # fmt: skip
def test_a_request_without_a_reply_is_judged_by_how_far_it_came(phase: str, kind: str, code: str) -> None:
    verdict = classify_failure(TransportError(Phase[phase], "what happened\x00", status=200))
    assert (verdict.kind, verdict.code) == (K[kind], E[code])
    assert "what happened" in verdict.message
    assert "\x00" not in verdict.message
    assert ("passed the size cap" in verdict.message) == (phase == "TOO_LARGE")


def test_every_phase_has_a_verdict() -> None:
    assert all(classify_failure(TransportError(phase, "")).message for phase in Phase)


def test_a_refusal_whose_body_broke_off_stays_a_refusal() -> None:
    error = TransportError(Phase.READ, "broke off", partial=b'{"err', status=429, headers={"retry-after": "8"})
    verdict = classify_failure(error)
    assert (verdict.kind, verdict.code, verdict.after_s) == (Kind.REFUSED, ErrorCode.RATE_LIMITED, 8.0)


def test_a_providers_rules_come_first() -> None:
    rule = Rule(Kind.PAUSE, ErrorCode.RATE_LIMITED, {429}, words=words("on holiday"), message="closed: {words}")
    reply = Reply(429, {}, b"", 1.0)
    verdict = classify(reply, err("we are on holiday {sic}"), (rule,), now=NOW)
    assert verdict == Verdict(Kind.PAUSE, ErrorCode.RATE_LIMITED, "closed: we are on holiday {sic}")
    other = classify(reply, err("m"), (rule,), now=NOW)
    assert other is not None
    assert other.kind is Kind.REFUSED


@pytest.mark.parametrize(
    "secret",
    ["sk-proj-abcDEF1234567890abcDEF", "sk-ant-api03-xxxxxxxxxxxx", "sk-abcd***********wxyz", "gsk_abcdefghijklmnop",
     "AIzaSyA1234567890abcdefghij", "hf_abcdefghijklmnopqrst", "ms-12345678-90ab-cdef-1234-567890abcdef",
     "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdef", "0123456789abcdef0123456789abcdef.AbCdEfGh12345678"],
)  # fmt: skip
def test_nothing_that_looks_like_a_key_is_echoed(secret: str) -> None:
    for around in ("Incorrect API key provided: %s.", "Authorization: Bearer %s", "key=%s&x=1", "(%s)"):
        text = around % secret
        assert secret[4:] not in clean(text), text
    verdict = judged(401, err(f"bad key {secret}", "invalid_api_key"))
    assert verdict is not None
    assert secret[4:] not in verdict.message


def test_words_are_one_clean_line() -> None:
    assert clean("a\r\n\tb\x00\x1b[31m c\u202e d\u2028e") == "a b [31m c d e"
    assert clean("x" * 600) == "x" * 499 + "…"
    assert clean("Bearer abc.def") == "Bearer [hidden]"
    assert clean("https://me:pw@host/x") == "https://[hidden]@host/x"
    assert clean("Limit 6000, Requested 7000 tokens. try again in 5s") == "Limit 6000, Requested 7000 tokens. try again in 5s"
    assert clean("\ud800") == ""
    assert clean("find your API key at https://x.example/keys.") == "find your API key at https://x.example/keys."


def test_no_text_takes_long_to_judge() -> None:
    """Each of these once was, or could have been, quadratic for one of the patterns."""
    for text in ("1 h ", "model ", "free tier ", "thinking ", "key: ", "sk-", "//", "retry in ", "a@"):
        started = perf_counter()
        judged(429, err(text * 4000))
        assert perf_counter() - started < 0.5, text


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["error", "errors", "detail", "choices", "code", "message", "type", "finish_reason", "output", "data",
                         "metadata", "raw", "innererror", "details", "loc", "object", "status"]) | st.text(), inner),
    max_leaves=25,
)  # fmt: skip
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "location", "x-should-retry", "date"]), st.text())


@given(st.integers(100, 999), ANY_JSON, HEADERS, st.sampled_from(["", "openai", "dashscope", "gemini", "zhipu"]))
def test_no_reply_makes_it_raise(status: int, body: Any, headers: dict[str, str], by: str) -> None:
    verdict = judged(status, body, headers, by, raw=b"raw")
    if verdict is None:
        assert 200 <= status < 300
    else:
        assert verdict.code is not None
        assert len(verdict.message) <= 500
        assert verdict.message.isprintable()


@given(st.binary(max_size=200), st.integers(100, 999))
def test_no_bytes_make_it_raise(raw: bytes, status: int) -> None:
    assert judged(status, None, raw=raw) is not None


@given(st.text())
def test_clean_never_raises_and_is_bounded(text: str) -> None:
    assert len(clean(text)) <= 500
    assert clean(text).isprintable()


def test_a_huge_or_deep_error_is_read_in_bounded_time() -> None:
    deep: Any = {"code": "c"}
    for _ in range(5000):
        deep = {"details": [deep] * 3, "message": "model " * 1000}
    assert judged(400, {"error": deep}, raw=b"{}") is not None
    assert judged(400, err("model " * 500_000)) is not None


def test_it_is_cheap_on_the_hot_path() -> None:
    reply = Reply(200, {}, b"", 1.0)
    best = min(repeat(lambda: classify(reply, ANSWER, now=NOW), number=2000, repeat=5)) / 2000 * 1e6
    assert best < 10
