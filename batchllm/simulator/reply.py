"""What is sent back: values between the endpoints, which make them, and the server, which sends them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from batchllm.simulator.dialects import Dialect
from batchllm.simulator.faults import Fault
from batchllm.simulator.options import SimulatorOptions

FINGERPRINT = "batchllm-simulator"
CREATED = 1_735_689_600
"""2025-01-01: a fixed time, so that the same request has the same answer to the last byte."""

Frame = tuple[bytes, int]
"""Bytes of a stream and how many tokens they carry (for pacing)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and understood."""

    body: dict[str, Any]
    key: int
    options: SimulatorOptions
    dialect: Dialect
    fault: Fault | None = None
    cached: int | None = None
    """Prompt tokens found in the cache of beginnings; None where there is no such cache."""

    @property
    def model(self) -> str:
        return str(self.body.get("model") or self.options.models[0])

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is True

    def id(self, prefix: str) -> str:
        return f"{prefix}{self.key:016x}"


def usage_asked(call: Call) -> bool:
    """Whether a chunk of its own tells the usage at the end of the stream."""
    options = call.body.get("stream_options") or {}
    return call.dialect.stream_usage == "asked" and options.get("include_usage") is True


@dataclass(frozen=True, slots=True)
class Made:
    """An answer that was made and is billed."""

    whole: dict[str, Any]
    prompt_tokens: int
    completion_tokens: int
    frames: Callable[[], list[Frame]] | None = None
    """The same as a stream; None where the endpoint has none or none was asked for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send. With `frames` it is an event stream and `body` is empty."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    content_type: str = "application/json"
    frames: list[Frame] | None = None
    tokens: int = 0
    """Completion tokens, for the latency."""
    pace: int = 0
    """The key its latency is drawn from."""
    fault: Fault | None = None
    """One the server itself has to commit: hang, reset or truncated."""
    record: dict[str, Any] | None = None
    """The ledger's line; None where nothing was made."""
