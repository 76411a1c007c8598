"""Mistral's batch jobs: the same files, the jobs under a path and with words of their own (API reference, "Batch API")."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from batchllm.engines.batch_lane.remote import LISTED, TAG, Fault, OpenAIBatches, RemoteError, Seen
from batchllm.errors import ErrorCode
from batchllm.types import Json, Kind, Verdict

JOBS = "/batch/jobs"
PAGE = 100


class MistralBatches(OpenAIBatches):
    """Jobs in place of batches. The model belongs to the job, and the window is a number of hours."""

    async def create(self, file_id: str, endpoint: str, window: str, model: str, tag: str) -> Seen:
        body: Json = {"input_files": [file_id], "endpoint": endpoint, "metadata": {TAG: tag}, "timeout_hours": hours(window)}
        return _seen(await self.asked(self.client.post(JOBS, cast_to=object, body={**body, "model": model})))

    async def retrieve(self, batch_id: str) -> Seen:
        return _seen(await self.asked(self.client.get(f"{JOBS}/{batch_id}", cast_to=object)))

    async def cancel(self, batch_id: str) -> Seen:
        return _seen(await self.asked(self.client.post(f"{JOBS}/{batch_id}/cancel", cast_to=object)))

    async def newest(self) -> AsyncIterator[Seen]:
        """Pages are numbered; the reference does not say in which order, so all are looked through, up to `LISTED`."""
        for page in range(LISTED // PAGE):
            query: Any = {"params": {"page": page, "page_size": PAGE}}
            shown: Any = await self.asked(self.client.get(JOBS, cast_to=object, options=query))
            jobs = shown.get("data") if isinstance(shown, dict) else None
            for one in jobs or ():
                yield _seen(one)
            if not jobs or len(jobs) < PAGE:
                return

    async def size(self, file_id: str) -> int | None:
        """The files say `size_bytes` where OpenAI's say `bytes`."""
        try:
            shown: Any = await self.asked(self.client.get(f"/files/{file_id}", cast_to=object))
        except RemoteError as error:
            if error.verdict.kind is Kind.FINAL:
                return None
            raise
        size = shown.get("size_bytes", shown.get("bytes")) if isinstance(shown, dict) else None
        return size if type(size) is int and size > 0 else None


def hours(window: str) -> int:
    """`24h` or `7d` in hours."""
    return int(window[:-1]) * (24 if window.endswith("d") else 1)


def _seen(shown: Any) -> Seen:
    if not isinstance(shown, dict) or not isinstance(shown.get("id"), str):
        raise RemoteError(Verdict(Kind.MAYBE_PAID, ErrorCode.BAD_RESPONSE, "the reply is no batch job"))
    files = shown.get("input_files") or [None]
    names = {"total": "total_requests", "completed": "succeeded_requests", "failed": "failed_requests"}
    metadata = shown.get("metadata")
    return Seen(
        shown["id"],
        str(shown.get("status", "")),
        files[0],
        shown.get("output_file") or None,
        shown.get("error_file") or None,
        {name: value for name, source in names.items() if type(value := shown.get(source)) is int},
        tuple(Fault(str(one.get("code", "")), str(one.get("message", ""))) for one in _errors(shown)),
        metadata if isinstance(metadata, dict) else {},
    )


def _errors(shown: Json) -> list[Json]:
    return [one for one in shown.get("errors") or () if isinstance(one, dict)]
