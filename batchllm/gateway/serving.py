"""The gateway from its start to its end: take the folder, go on with what was accepted, listen, drain."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from batchllm.errors import ExitCode, JobError
from batchllm.gateway import rows
from batchllm.gateway.app import application
from batchllm.gateway.floor import TICK_S, Floor
from batchllm.gateway.places import Places
from batchllm.gateway.reception import Reception
from batchllm.gateway.shop import Shop
from batchllm.gateway.store import Store
from batchllm.gateway.tenants import Tenants
from batchllm.gateway.turnstile import Turnstile
from batchllm.gateway.upstream import Upstream
from batchllm.gateway_settings import Gateway
from batchllm.sharing import shared as shared_limits
from batchllm.terminal import say
from batchllm.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Told:
    """What a gateway is started with. `clock` gives seconds since the epoch; `ready` is called once with its address."""

    upstream: Upstream
    limits: Gateway
    tenants: Tenants
    ready: Callable[[str], None]
    clock: Callable[[], float] = time.time
    signals: bool = True
    tick_s: float = TICK_S


async def serve(told: Told) -> None:
    """Serve until a signal, or a cancel. Raises `JobError` (2, 65, 74, 75) where it cannot begin."""
    places = Places(Path(told.limits.data))
    places.check()
    with closing(places.take()), closing(Store(places.root)) as store:
        async with AsyncExitStack() as stack:
            await _serve(told, places, store, stack)


async def _serve(told: Told, places: Places, store: Store, stack: AsyncExitStack) -> None:
    shared = told.upstream.shared
    settings, loop = shared.settings, asyncio.get_running_loop()
    transport = await stack.enter_async_context(shared.transport())
    cap, auto = settings.most_in_flight, settings.concurrency == "auto"
    house = Turnstile(Throttle(cap, loop.time(), rpm=settings.rpm, tpm=settings.tpm, auto=auto))
    await stack.enter_async_context(shared_limits(settings, house.throttle, say))
    shop = Shop(places, store, told.upstream, transport, house, told.limits.max_lines, told.clock)
    floor = Floor(shop, told.limits.running, settings.timeouts.drain, told.tick_s)
    await _take_up(shop, floor)
    app = application(Reception(shop, floor, told.tenants, told.limits))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=settings.timeouts.drain)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    told.ready(await _listen(runner, told.limits))

    def stop() -> None:
        house.close()
        floor.stop()

    if told.signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal, number, floor, stop)
            stack.callback(loop.remove_signal_handler, number)
    try:
        await floor.run()
    finally:
        house.close()


def _on_signal(number: signal.Signals, floor: Floor, stop: Callable[[], None]) -> None:
    again = " at once" if floor.stopping else ": what is in flight may end (again to stop at once)"
    say(f"{number.name}: the gateway stops{again}")
    stop()


async def _take_up(shop: Shop, floor: Floor) -> None:
    """Go on with every batch that was accepted and has not ended, and remove what nobody was told of."""
    entries = await shop.store.call(rows.unfinished)
    files = await shop.store.call(rows.file_ids)
    swept = await asyncio.to_thread(shop.places.sweep, files, {entry.id for entry in entries})
    if swept:
        say(f"removed {swept} files that an earlier process left unfinished")
    if entries:
        say(f"going on with {len(entries)} batches")
    for entry in entries:
        floor.add(entry)


async def _listen(runner: web.AppRunner, limits: Gateway) -> str:
    """The address it can be reached at. Raises `JobError` (2)."""
    site = web.TCPSite(runner, limits.host, limits.port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        where = f"{limits.host}:{limits.port}"
        raise JobError(ExitCode.USAGE, f"cannot listen on {where}: {error.strerror or error}") from None
    port = runner.addresses[0][1]
    host = f"[{limits.host}]" if ":" in limits.host else limits.host
    return f"http://{host}:{port}/v1"
