"""What can go wrong, and how the process says so.

    BatchllmError
    ├── JobError        the whole job stops, or never starts: carries an exit code
    └── TransportError  one request got no complete reply: carries how far it came

A failed *request* is no exception but a record with an `ErrorCode`: failures are ordinary data here.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from functools import partial


class ExitCode(IntEnum):
    """The process's last word (sysexits.h where one fits). Cron may retry 69 and 75; 65 and 77 want a person."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    BAD_DATA = 65
    UNAVAILABLE = 69
    SOFTWARE = 70
    DISK = 74
    TRY_LATER = 75
    ACCOUNT = 77
    SIGHUP = 129
    SIGINT = 130
    SIGTERM = 143


class ErrorCode(StrEnum):
    """Why one line has no answer; stands in `error.code` of its record."""

    INVALID_LINE = "invalid_line"
    DUPLICATE_CUSTOM_ID = "duplicate_custom_id"
    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    AUTHENTICATION = "authentication"
    QUOTA_EXHAUSTED = "quota_exhausted"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    BAD_RESPONSE = "bad_response"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    TRUNCATED = "truncated"
    SCHEMA_INVALID = "schema_invalid"


class BatchllmError(Exception):
    """Root of every exception raised on purpose; its text is one sentence for the user."""


class JobError(BatchllmError):
    """The job stops: `exit_code` says how, the text says what, where and what to do.

    `resume_after_s` is set where a time to come back is known (seconds from now).
    """

    def __init__(self, exit_code: ExitCode, message: str, *, resume_after_s: float | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.resume_after_s = resume_after_s

    def __reduce__(self) -> tuple[partial[JobError], tuple[ExitCode, str]]:
        """It may come from another process."""
        return partial(type(self), resume_after_s=self.resume_after_s), (self.exit_code, str(self))


class Phase(StrEnum):
    """How far a request came before it failed; decides whether it may have been billed."""

    LOCAL = "local"  # our own machine: no descriptors, no memory
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"  # handshake broken off: passing
    CERTIFICATE = "certificate"  # verification failed: a person has to look
    SEND = "send"  # connection lost before the first byte of the reply
    FIRST_BYTE = "first_byte"  # connected and sent, no reply within the bound
    SILENCE = "silence"  # the reply stopped in its midst
    TOTAL = "total"  # the whole request took too long
    READ = "read"  # the reply broke off
    TOO_LARGE = "too_large"  # the reply passed the size cap


class TransportError(BatchllmError):
    """One request got no complete reply. `partial` is what did arrive (paid for, perhaps); `status` 0 if none came."""

    def __init__(
        self,
        phase: Phase,
        message: str,
        *,
        partial: bytes = b"",
        status: int = 0,
        headers: dict[str, str] | None = None,
        elapsed_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.phase = phase
        self.partial = partial
        self.status = status
        self.headers = headers or {}
        self.elapsed_s = elapsed_s
