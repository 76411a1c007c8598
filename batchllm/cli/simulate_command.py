"""`batchllm simulate`."""

from __future__ import annotations

import asyncio
import signal
from argparse import Namespace

from batchllm.errors import ExitCode, JobError
from batchllm.simulator import options_from, serve
from batchllm.supervisor import event_loop


def main(args: Namespace) -> int:
    try:
        options = options_from(args)
    except ValueError as error:
        raise JobError(ExitCode.USAGE, str(error)) from None
    try:
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(_serve(options, args.host, args.port))
    except OSError as error:
        raise JobError(ExitCode.USAGE, f"cannot listen on {args.host}:{args.port}: {error.strerror}") from None
    return 0


async def _serve(options: object, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)
    try:
        await serve(options, host, port, ready=lambda address: print(address, flush=True))  # type: ignore[arg-type]
    except asyncio.CancelledError:
        return
