"""How each provider says no where it differs from `refusals.GENERAL`: its own rules, tried first."""

from __future__ import annotations

from batchllm.errors import ErrorCode
from batchllm.refusals import BURST, FREE_TIER, PER_DAY, ZERO_LIMIT, Rule, names, words
from batchllm.types import Kind

_E, _K = ErrorCode, Kind

OPENAI = (
    # error page: these all carry the type `insufficient_quota`, and the account has to be topped up or raised
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, {429}, names("insufficient_quota")),
    # error page: 403 for a country, region or territory that is not supported falls to the general rule
)

AZURE = (
    # quota page: a token limit below the one configured is a passing reduction; batches wait for the queue
    Rule(_K.REFUSED, _E.RATE_LIMITED, {400, 429}, names("token_limit_exceeded")),
)

DASHSCOPE = (
    # Model Studio's error page: allocated quota is tokens per minute or second and recovers in a minute
    # (H7) …
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, {403, 429}, words=FREE_TIER),
    Rule(_K.REFUSED, _E.RATE_LIMITED, {429}, names("insufficient_quota", "Throttling.AllocationQuota")),
    Rule(_K.REFUSED, _E.RATE_LIMITED, names=names("limit_requests", "Throttling.RateQuota", "Throttling")),
    # … and a burst is answered with a slower ramp
    Rule(_K.REFUSED, _E.RATE_LIMITED, names=BURST, slow_ramp=True),
    Rule(_K.FINAL, _E.CONTENT_FILTER, names=names("data_inspection_failed", "DataInspectionFailed")),
)

SILICONFLOW = (
    # error page and users' threads (Q6): numbers at top level, no error object
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, names=names("30001")),
    Rule(_K.FINAL, _E.NOT_FOUND, names=names("20012")),
    Rule(_K.FINAL, _E.INVALID_REQUEST, names=names("20015")),
    Rule(_K.PAUSE, _E.RATE_LIMITED, {429}, words=PER_DAY, day_zone_h=8),
    Rule(_K.REFUSED, _E.RATE_LIMITED, names=names("50603")),
    Rule(_K.REFUSED, _E.SERVER_ERROR, names=names("50505")),
)

MODELSCOPE = (
    # API-Inference limits page: about 2,000 calls a day for a user, fewer for each model
    *(
        Rule(_K.PAUSE, _E.RATE_LIMITED, {429}, headers=(f"{count}-remaining=0",), day_zone_h=8)
        for count in ("modelscope-ratelimit-requests", "modelscope-ratelimit-model-requests")
    ),
    Rule(_K.PAUSE, _E.RATE_LIMITED, {429}, words=PER_DAY, day_zone_h=8),
)

ZHIPU = (
    # error page of the open platform: business codes beside the HTTP status
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, names=names("1113", "1309")),
    Rule(_K.STOP, _E.AUTHENTICATION, names=names("1110", "1111", "1112", "1121", "1220")),
    Rule(_K.FINAL, _E.CONTENT_FILTER, names=names("1301")),
    Rule(_K.FINAL, _E.TOO_LARGE, names=names("1261")),
    Rule(_K.FINAL, _E.NOT_FOUND, names=names("1211")),
    Rule(_K.PAUSE, _E.RATE_LIMITED, names=names("1304", "1308", "1310"), day_zone_h=8),
    Rule(_K.REFUSED, _E.RATE_LIMITED, names=names("1302", "1303", "1305", "1312")),
)

MOONSHOT = (
    # troubleshooting page: an empty account is 403 or this code, an overloaded engine is 429
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, names=names("exceeded_current_quota_error")),
    Rule(_K.REFUSED, _E.SERVER_ERROR, {429}, names("engine_overloaded_error")),
)

VOLCENGINE = (
    # Ark's error page; a limit the account set for itself has to be raised by hand
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, names=names("AccountOverdueError")),
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, {429}, names("SetLimitExceeded")),
    Rule(_K.REFUSED, _E.SERVER_ERROR, {429}, names("ServerOverloaded")),
)

OPENROUTER = (
    # limits page: free models have a daily count, its reset is a time in error.metadata.headers
    Rule(_K.PAUSE, _E.RATE_LIMITED, {429}, words=words("free-models-per-day"), day_zone_h=0),
)

GEMINI = (
    # rate limit page: the daily count starts anew at midnight Pacific time, whatever retryDelay says; a limit
    # of 0 means the model is not in this account's plan; what remains is per minute and names its delay
    Rule(_K.STOP, _E.QUOTA_EXHAUSTED, {429}, words=ZERO_LIMIT),
    Rule(_K.PAUSE, _E.RATE_LIMITED, {429}, words=PER_DAY, day_zone_h=-8, trust_wait=False),
    Rule(_K.REFUSED, _E.RATE_LIMITED, {429}),
    Rule(_K.STOP, _E.AUTHENTICATION, {400}, names("API_KEY_INVALID")),
)

VLLM = (
    # its engine died under the server: like a server that is gone until somebody starts it again
    Rule(
        _K.UNREACHABLE, _E.SERVER_ERROR, {500, 503},
        words=words("EngineDeadError", "engine is dead", "engine loop is not running", "EngineCore enc"),
        message="the server's engine has died and has to be started again (HTTP {status}: {words})",
    ),
)  # fmt: skip

TRANSFORMERS = (
    # seen at 5.x: it serves the one model it was started with, and says so without an error object
    Rule(_K.FINAL, _E.NOT_FOUND, {400}, words=words("server is pinned to")),
)

OLLAMA = (
    # FAQ: 503 the moment the queue (OLLAMA_MAX_QUEUE) is full: come back slower (H11)
    Rule(_K.REFUSED, _E.SERVER_ERROR, {503}, words=words("maximum pending requests"), slow_ramp=True),
)
