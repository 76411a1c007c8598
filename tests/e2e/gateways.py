"""A gateway for tests: in a thread of this process with a clock of its own, or the real command."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import OpenAI
from openai.types import Batch

from batchllm.configuration import Configuration
from batchllm.gateway.serving import Told, serve
from batchllm.gateway.tenants import Quota, Tenant, Tenants, hashed
from batchllm.gateway.upstream import Upstream
from batchllm.gateway_settings import Gateway
from batchllm.settings import checked

ALICE, BOB = "bl-alice-0123456789abcdef", "bl-bob-0123456789abcdef"
KEY = "sk-upstream-0123456789abcdefghij"
ENDED = ("completed", "failed", "expired", "cancelled")
PATIENCE_S = 30.0
PLENTY = Quota(1 << 30, 100, 1_000_000)


@dataclass
class Clock:
    """The gateway's calendar: stands unless a test moves it."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    """A gateway that runs, and its two tenants."""

    base_url: str
    folder: Path
    clock: Clock = field(default_factory=Clock)
    _clients: dict[str, OpenAI] = field(default_factory=dict)

    def client(self, token: str = ALICE) -> OpenAI:
        if token not in self._clients:
            self._clients[token] = OpenAI(base_url=self.base_url, api_key=token, max_retries=0, timeout=PATIENCE_S)
        return self._clients[token]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def ended(self, batch_id: str, token: str = ALICE) -> Batch:
        return ended(self.client(token), batch_id)


def ended(client: OpenAI, batch_id: str) -> Batch:
    """The batch once it has come to an end."""
    return until(lambda: client.batches.retrieve(batch_id), lambda batch: batch.status in ENDED)


def until(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    """Looks again and again: for a process of its own, which has no event to wait for."""
    end = time.monotonic() + PATIENCE_S
    while not is_so(seen := look()):
        assert time.monotonic() < end, seen
        time.sleep(0.02)
    return seen


def job(*texts: str, **more: Any) -> bytes:
    """Lines of the Batch API, one for each text, under the names line-1, line-2, …"""
    return b"".join(
        json.dumps(
            {
                "custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions",
                "body": {"model": "m", "messages": [{"role": "user", "content": text}], **more},
            }
        ).encode() + b"\n"
        for number, text in enumerate(texts, 1)
    )  # fmt: skip


def upload(client: OpenAI, content: bytes, name: str = "job.jsonl") -> str:
    return client.files.create(file=(name, content), purpose="batch").id


def submit(client: OpenAI, content: bytes, **more: Any) -> Batch:
    given = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
    return client.batches.create(input_file_id=upload(client, content), **given)


def lines(client: OpenAI, file_id: str | None) -> dict[str, dict[str, Any]]:
    """A file's records by `custom_id`; {} where there is no file. No id may stand in it twice."""
    if file_id is None:
        return {}
    records = [json.loads(raw) for raw in client.files.content(file_id).content.splitlines()]
    found = {record["custom_id"]: record for record in records}
    assert len(found) == len(records)
    return found


@contextmanager
def house(
    folder: Path,
    upstream: str,
    *,
    quotas: Mapping[str, Quota] | None = None,
    limits: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    share: str | None = None,
    **settings: Any,
) -> Iterator[House]:
    """A gateway in a thread, with the tenants alice and bob. Ends as at a second signal: what is in flight is cut off."""
    gate = Gateway(port=0, data=str(folder / "gateway"), **(limits or {}))
    tenants = Tenants(
        {hashed(token): Tenant(name, (quotas or {}).get(name, PLENTY)) for name, token in (("alice", ALICE), ("bob", BOB))}
    )
    values: dict[str, Any] = {"base_url": upstream, "api_key_env": "UPSTREAM_KEY", "model": "m", "timeouts": {"drain": 0.2}}
    values |= {"limits": {"share": share}, **settings}
    configuration = Configuration(checked(values, {}), {"UPSTREAM_KEY": KEY})
    running = _Running(folder, Upstream.of(configuration, None), gate, tenants, clock or Clock())
    started = running.start()
    try:
        yield started
    finally:
        started.close()
        running.stop()


class _Running:
    def __init__(self, folder: Path, upstream: Upstream, limits: Gateway, tenants: Tenants, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._address: list[str] = []
        self._failed: list[BaseException] = []
        self._ready = threading.Event()
        self._told = Told(upstream, limits, tenants, self._is_ready, clock, signals=False, tick_s=0.02)
        self._thread = threading.Thread(target=self._run, name="gateway")

    def start(self) -> House:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        if self._failed:
            self._thread.join()
            raise self._failed[0]
        return House(self._address[0], self._folder, self._clock)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self._failed:
            raise self._failed[0]

    def _is_ready(self, address: str) -> None:
        self._address.append(address)
        self._ready.set()

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(serve(self._told))
            await asyncio.wait({self._task})
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error

        try:
            asyncio.run(main())
        except BaseException as error:
            self._failed.append(error)
        finally:
            self._ready.set()
