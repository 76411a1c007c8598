"""Response headers: rate limits as each dialect tells them, waits, ids, the mark of a simulated answer."""

from math import ceil

from batchllm.simulator.dialects import Dialect
from batchllm.simulator.limits import NOMINAL_RPM, NOMINAL_TPM, Admission, Bucket, duration_text

Headers = list[tuple[str, str]]
MARK = ("x-batchllm-simulated", "1")
_DAILY = 2000
"""ModelScope's free calls a day."""


def common(dialect: Dialect, request_id: str) -> Headers:
    return [MARK, *([(dialect.request_id_header, request_id)] if dialect.request_id_header else [])]


def waiting(dialect: Dialect, wait_s: float) -> Headers:
    """`Retry-After` in whole seconds, rounded up so that it is never too early, and its exact sibling."""
    headers = [("retry-after", str(max(1, ceil(wait_s))))] if dialect.retry_after else []
    if dialect.retry_after_ms:
        headers.append(("retry-after-ms", str(ceil(wait_s * 1000))))
    return headers


def rates(dialect: Dialect, admission: Admission, now: float, spent: bool = False) -> Headers:
    """The state of the limits after this request; nominal limits where none is enforced.

    `spent`: the account has nothing left, which ModelScope tells by a day's counter at 0.
    """
    match dialect.rate_headers:
        case "none":
            return []
        case "modelscope":
            left = max(1, int(admission.requests.level(now))) if admission.requests else _DAILY - 1
            left = 0 if spent else left
            return [
                ("modelscope-ratelimit-requests-limit", str(_DAILY)),
                ("modelscope-ratelimit-requests-remaining", str(left)),
                ("modelscope-ratelimit-model-requests-limit", str(_DAILY)),
                ("modelscope-ratelimit-model-requests-remaining", str(left)),
            ]
        case _:
            seconds_only = dialect.rate_headers == "azure"
            return [
                *_row("requests", admission.requests, NOMINAL_RPM, now, seconds_only),
                *_row("tokens", admission.tokens, NOMINAL_TPM, now, seconds_only),
            ]


def _row(kind: str, bucket: Bucket | None, nominal: int, now: float, seconds_only: bool) -> Headers:
    """One kind's limit, what remains, and the time until it is full again (Azure: whole seconds)."""
    if bucket is None:
        limit, left, full_s = nominal, nominal - 1, 0.002
    else:
        limit, left = int(bucket.per_minute), max(0, int(bucket.level(now)))
        full_s = bucket.full_in_s(now)
    return [
        (f"x-ratelimit-limit-{kind}", str(limit)),
        (f"x-ratelimit-remaining-{kind}", str(left)),
        (f"x-ratelimit-reset-{kind}", str(ceil(full_s)) if seconds_only else duration_text(full_s)),
    ]
