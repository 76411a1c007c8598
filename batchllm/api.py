"""From Python: `await run(job, settings)` for a file and its folder, `stream(requests, settings)` for requests in memory."""

from __future__ import annotations

from batchllm.settings import Settings

__all__ = ["Settings"]
