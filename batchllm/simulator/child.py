"""What runs in the process that `hosting.run_in_process` starts."""

import asyncio
import json
import os
import signal
import sys
from threading import Thread

from batchllm.simulator.hosting import new_loop
from batchllm.simulator.options import SimulatorOptions, options_from_table
from batchllm.simulator.server import Simulator


def main() -> None:
    """Options as one line of JSON on stdin, the base URL as one line on stdout; ends when stdin does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = options_from_table(json.loads(sys.stdin.readline()))
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(options))


async def _serve(options: SimulatorOptions) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        os.read(0, 1)  # not sys.stdin: its lock would be held for good, and the end of the interpreter wants it
        loop.call_soon_threadsafe(stopped.set)

    async with Simulator(options) as simulator:
        print(simulator.base_url, flush=True)
        Thread(target=watch, name="batchllm-simulator-stdin", daemon=True).start()
        await stopped.wait()
