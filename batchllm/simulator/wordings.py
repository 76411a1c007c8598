"""How each provider words its refusals, where it is not as OpenAI does."""

from collections.abc import Mapping

from batchllm.simulator.refusals import Kind, Refusal

Words = Mapping[Kind, Refusal]

AZURE: Words = {
    "rate_limited": Refusal(
        429,
        None,
        "429",
        "Requests to the ChatCompletions_Create Operation have exceeded "
        "call rate limit of your current pricing tier. Please retry after 1 second.",
    ),
    "tokens_limited": Refusal(
        429,
        None,
        "429",
        "Requests to the ChatCompletions_Create Operation have exceeded "
        "token rate limit of your current pricing tier. Please retry after 1 second.",
    ),
    "bad_key": Refusal(401, None, "401", "Access denied due to invalid subscription key or wrong API endpoint."),
    "no_credit": Refusal(403, None, "QuotaExceeded", "Out of call volume quota."),
    "not_found": Refusal(404, None, "DeploymentNotFound", "The API deployment for this resource does not exist."),
    "filtered": Refusal(
        400,
        None,
        "content_filter",
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "prompt",
    ),
    "server_error": Refusal(500, None, "InternalServerError", "The server had an error."),
    "unavailable": Refusal(
        503,
        None,
        "ServiceUnavailable",
        "The service is temporarily unable to process your request. Please try again later.",
    ),
}

DASHSCOPE: Words = {
    "rate_limited": Refusal(429, "limit_requests", "limit_requests", "You exceeded your current requests list."),
    # The same word as OpenAI's empty account, and here only a rate that recovers within a minute.
    "tokens_limited": Refusal(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details. Allocated quota exceeded.",
    ),
    "busy": Refusal(429, "limit_burst_rate", "limit_burst_rate", "Request rate increased too quickly."),
    "no_credit": Refusal(
        400,
        "Arrearage",
        "Arrearage",
        "Access denied, please make sure your account is in good standing.",
    ),
    "bad_key": Refusal(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided. "),
    "not_found": Refusal(
        404,
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    "filtered": Refusal(
        400,
        "data_inspection_failed",
        "data_inspection_failed",
        "Input data may contain inappropriate content.",
    ),
    "server_error": Refusal(
        500,
        "internal_error",
        "internal_error",
        "An internal error has occured, please try again later.",
    ),
    "unavailable": Refusal(503, "ServiceUnavailable", "ServiceUnavailable", "<503> The request failed."),
}

SILICONFLOW: Words = {
    "bad_request": Refusal(400, None, 20015, "The parameter is invalid. Please check again."),
    "rate_limited": Refusal(429, None, 50603, "Request was rejected due to rate limiting. RPM limit reached."),
    "tokens_limited": Refusal(429, None, 50603, "Request was rejected due to rate limiting. TPM limit reached."),
    "busy": Refusal(429, None, 50603, "System is too busy now. Please try again later."),
    "bad_key": Refusal(401, None, 30014, "Api key is invalid"),
    "no_credit": Refusal(403, None, 30001, "Sorry, your account balance is insufficient"),
    "not_found": Refusal(400, None, 20012, "Model does not exist. Please check it carefully."),
    "server_error": Refusal(500, None, 50000, "Unknown error, please try again later."),
    "unavailable": Refusal(503, None, 50505, "Model service overloaded. Please try again later."),
}

MODELSCOPE: Words = {
    "rate_limited": Refusal(429, None, None, "Request rate exceeded, please slow down."),
    "no_credit": Refusal(429, None, None, "You have exceeded today's quota for this model, please try again tomorrow."),
    "bad_key": Refusal(
        401,
        None,
        None,
        "Authentication failed, please make sure that a valid ModelScope token is supplied.",
    ),
}

DEEPSEEK: Words = {
    "rate_limited": Refusal(429, "rate_limit_error", "rate_limit_reached", "Rate limit reached."),
    "no_credit": Refusal(402, "unknown_error", "invalid_request_error", "Insufficient Balance"),
    "bad_key": Refusal(401, "authentication_error", "invalid_request_error", "Authentication Fails (no such user)"),
    "not_found": Refusal(400, "invalid_request_error", "invalid_request_error", "Model Not Exist"),
    "unavailable": Refusal(503, "service_unavailable_error", "service_unavailable", "Service is too busy."),
}

OPENROUTER: Words = {
    "no_credit": Refusal(402, None, 402, "Insufficient credits. Add more and try again."),
    "bad_key": Refusal(401, None, 401, "No auth credentials found"),
    "not_found": Refusal(400, None, 400, "The model is not a valid model ID"),
    "server_error": Refusal(502, None, 502, "Provider returned error"),
    "unavailable": Refusal(503, None, 503, "No instances available"),
    "filtered": Refusal(403, None, 403, "The input was flagged by moderation."),
}

OLLAMA: Words = {
    "not_found": Refusal(404, "api_error", None, "model not found, try pulling it first"),
    "busy": Refusal(503, "api_error", None, "server busy, please try again. maximum pending requests exceeded"),
    "server_error": Refusal(500, "api_error", None, "llama runner process has terminated"),
    "unavailable": Refusal(503, "api_error", None, "server busy, please try again. maximum pending requests exceeded"),
}

VLLM: Words = {
    "bad_request": Refusal(400, "BadRequestError", 400, "The request is invalid."),
    "too_long": Refusal(
        400,
        "BadRequestError",
        400,
        "This model's maximum context length is exceeded. Please reduce the length of the messages.",
    ),
    "not_found": Refusal(404, "NotFoundError", 404, "The model does not exist."),
    "bad_key": Refusal(401, None, None, "Unauthorized"),
    "busy": Refusal(503, "ServiceUnavailableError", 503, "Too many requests in the queue."),
    "server_error": Refusal(500, "InternalServerError", 500, "EngineCore encountered an issue."),
    "unavailable": Refusal(503, "ServiceUnavailableError", 503, "The server is overloaded."),
}

TRANSFORMERS: Words = {
    "bad_request": Refusal(422, None, None, "Unexpected fields in the request."),
    "not_found": Refusal(400, None, None, "Server is pinned to 'simulated-1'; requested another model."),
    "server_error": Refusal(500, None, None, "Internal Server Error"),
}
