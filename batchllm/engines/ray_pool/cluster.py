"""Workers on a Ray cluster: the only place that knows Ray."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError

from batchllm.engines.ray_pool.hands import BlinkError, LostError
from batchllm.engines.ray_pool.wire import Hello, Kit, Order, Report
from batchllm.engines.ray_pool.worker import Worker
from batchllm.errors import ExitCode, JobError

dumps = partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL)
CPUS = 1
"""What a worker reserves of its node; it uses one core at most."""
REACHED_S = 10.0
LOOK_S, MISSED = 4.0, 4
LEAVE_S = 10.0
CALLS = 100
"""Calls to one worker at a time: an exchange, and words beside it."""


class Actor:
    """A worker in a Ray actor. Its loop is Ray's; the worker is made on it, at the first call."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    async def begin(self, kit: Kit, secrets: Mapping[str, str]) -> Hello:
        self._worker = Worker()
        return await self._worker.begin(kit, secrets)

    async def exchange(self, order: bytes) -> bytes:
        assert self._worker is not None
        return dumps(await self._worker.exchange(pickle.loads(order)))  # noqa: S301

    async def tell(self, order: Order) -> None:
        assert self._worker is not None
        await self._worker.tell(order)


class RayHand:
    """See `hands.Hand`. The key travels in an argument of one call from process to process: not in the actor's description,
    which the cluster keeps and shows."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def begin(self, kit: Kit, secrets: Mapping[str, str]) -> Hello:
        told: Hello = await _answer(self._actor.begin.remote(kit, dict(secrets)))
        return told

    async def exchange(self, order: Order) -> Report:
        # As bytes: Ray looks at each part of anything else, which costs several times the pickling.
        told: Report = pickle.loads(await _answer(self._actor.exchange.remote(dumps(order))))  # noqa: S301
        return told

    async def tell(self, order: Order) -> None:
        await _answer(self._actor.tell.remote(order))

    def dismiss(self) -> None:
        with suppress(RayError, RuntimeError, ValueError):
            ray.kill(self._actor)


async def _answer(reference: Any) -> Any:
    """What a call came to. Raises `BlinkError` where the connection was broken, `LostError` where the worker is gone."""
    try:
        return await asyncio.wrap_future(reference.future())
    except ActorUnavailableError:
        raise BlinkError("it could not be reached") from None
    except RayError as error:
        raise LostError(_sentence(error)) from None


def _sentence(error: RayError) -> str:
    """Ray's messages run over many lines, with addresses and ids; the last line of text says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]


def _refuse_unreachable(address: str) -> None:
    """Ray itself would try for minutes, and say so in many lines."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_S).close()
    except OSError as error:
        raise _none_at(address, error) from error


def _none_at(where: str, error: Exception) -> JobError:
    reason = (str(error).splitlines() or [""])[0][:200]
    return JobError(ExitCode.UNAVAILABLE, f"no Ray cluster at {where}: {reason}")


async def _reached(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(LOOK_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


class RayCrew:
    """See `hands.Crew`. The actors belong to this process and end with it.

    `home_only`: the endpoint runs on this machine alone, so that workers elsewhere would not reach it.
    """

    def __init__(self, address: str | None, *, home_only: bool = False) -> None:
        self._address = address
        self._home_only = home_only
        self._ours = False
        self._actors: Any = None

    async def open(self, wanted: int | None) -> int:
        if not ray.is_initialized():
            await asyncio.to_thread(self._connect, wanted)
        nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
        if self._home_only and len({node["NodeManagerAddress"] for node in nodes}) > 1:
            raise JobError(
                ExitCode.USAGE,
                "the endpoint that this run starts is on this machine only, and the Ray cluster has others: give --base-url",
            )
        self._actors = ray.remote(Actor)
        return wanted or max(1, sum(node["Resources"].get("CPU", 0) >= CPUS for node in nodes))

    def _connect(self, wanted: int | None) -> None:
        address = self._address or os.environ.get("RAY_ADDRESS")
        logging.getLogger("ray").setLevel(logging.ERROR)
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "batchllm"}
        if address is None:
            cpus = max(os.cpu_count() or 1, (wanted or 1) * CPUS)
            quiet |= {"include_dashboard": False, "num_cpus": cpus}
        else:
            _refuse_unreachable(address)
        try:
            ray.init(address=address or "local", **quiet)
        except (ConnectionError, RayError, RuntimeError, ValueError, OSError) as error:
            raise _none_at(address or "this machine", error) from error
        self._ours = True

    async def hire(self) -> RayHand:
        how = {"num_cpus": CPUS, "max_restarts": 0, "max_concurrency": CALLS, "scheduling_strategy": "SPREAD"}
        return RayHand(self._actors.options(**how).remote())

    async def gone(self) -> str:
        """Ray ends a driver, with no word to it, a minute after its cluster's head is gone: this is sooner."""
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        missed = 0
        while missed < MISSED:
            await asyncio.sleep(LOOK_S)
            missed = 0 if await _reached(host.strip("[]"), int(port)) else missed + 1
        return "the head of the Ray cluster is gone; the same command goes on with the next one"

    async def close(self) -> None:
        """Leave the cluster. Where its head is gone Ray waits for it: not longer than a moment."""
        if not self._ours:
            return
        self._ours = False
        loop, left = asyncio.get_running_loop(), asyncio.Event()

        def leave() -> None:
            ray.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waited so long
                loop.call_soon_threadsafe(left.set)

        threading.Thread(target=leave, name="ray-shutdown", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await left.wait()
