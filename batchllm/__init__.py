"""batchllm: send a file of prompts to an OpenAI-compatible endpoint; nothing lost, nothing paid twice.

record_stream = batchllm.stream(requests, settings)   # async for record in record_stream
summary = await batchllm.run("jobs/extract.jsonl", settings)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from batchllm.api import Settings, run, stream
    from batchllm.errors import ErrorCode, ExitCode, JobError
    from batchllm.records import Record

__all__ = ["ErrorCode", "ExitCode", "JobError", "Record", "Settings", "__version__", "run", "stream"]

_HOMES = {
    "run": "api", "stream": "api", "Settings": "api", "Record": "records", "JobError": "errors", "ExitCode": "errors",
    "ErrorCode": "errors",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load the heavy parts when they are first named: `batchllm --help` needs none of them."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"batchllm.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'batchllm' has no attribute '{name}'")
