"""The simulator out of the way: in a thread of its own, or in a process of its own.

A job that embeds the endpoint wants `run_in_process`. A thread shares the interpreter lock, so every answer
made there is time the client waits, and its CPU is counted as the client's. A process costs about a third of
a second to start and nothing afterwards. It is tied to us by its standard input: when we close it, or die in
whatever way, it ends. It stands in a session of its own and ignores SIGINT, so that a Ctrl-C meant for the
job lets the job drain.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread, Timer

from batchllm.simulator.options import SimulatorOptions, table_from

_START_S, _STOP_S = 30.0, 5.0
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); from batchllm.simulator.child import main; main()"
_ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "SYSTEMROOT",
    "TMPDIR",
    "TEMP",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)
"""What the process is given of our environment: no keys, no proxies."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """A simulator that runs elsewhere. `pid` is None for a thread."""

    base_url: str
    pid: int | None = None


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop to serve on: uvloop's where it is installed. For `asyncio.Runner(loop_factory=new_loop)`."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@contextmanager
def run_in_thread(options: SimulatorOptions | None = None) -> Iterator[Hosted]:
    """A simulator on a loop in a daemon thread; stopped and joined at the end."""
    started, told = Event(), list[Hosted | BaseException]()
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        from batchllm.simulator.server import Simulator

        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        async with Simulator(options) as simulator:
            told.append(Hosted(simulator.base_url))
            started.set()
            await stopped.wait()

    def body() -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(run())
        except BaseException as error:  # handed over to the thread that waits for the start
            told.append(error)
        finally:
            started.set()

    thread = Thread(target=body, name="batchllm-simulator", daemon=True)
    thread.start()
    started.wait()
    if isinstance(told[0], BaseException):
        raise RuntimeError("the simulator did not start") from told[0]
    try:
        yield told[0]
    finally:
        stop[0]()
        thread.join(_STOP_S)


@contextmanager
def run_in_process(options: SimulatorOptions | None = None) -> Iterator[Hosted]:
    """A simulator in a process of its own, reaped at the end. Options, key included, go through a pipe."""
    with tempfile.TemporaryFile() as complaints:
        child = _started(complaints.fileno())
        try:
            yield Hosted(_base_url(child, options or SimulatorOptions(), complaints.fileno()), child.pid)
        finally:
            _stopped(child)


def _started(complaints: int) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # -P: a module that happens to lie in the working directory is not taken for one of ours.
    return subprocess.Popen(  # noqa: S603  (our own interpreter and a constant)
        [sys.executable, "-P", "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env=environment,
        start_new_session=True,
    )


def _base_url(child: subprocess.Popen[bytes], options: SimulatorOptions, complaints: int) -> str:
    """Hands over what the child needs and reads the address it tells."""
    assert child.stdin is not None
    assert child.stdout is not None
    known = [os.path.abspath(path) for path in sys.path if path]  # noqa: PTH100
    watchdog = Timer(_START_S, child.kill)
    watchdog.start()
    try:
        child.stdin.write(f"{json.dumps(known)}\n{json.dumps(table_from(options))}\n".encode())
        child.stdin.flush()
        url = child.stdout.readline().decode().strip()
    except OSError:  # it is gone already; what it said last is told below
        url = ""
    finally:
        watchdog.cancel()
    if not url:
        os.lseek(complaints, 0, os.SEEK_SET)
        raise RuntimeError("the simulator did not start: " + os.read(complaints, 65536).decode(errors="replace")[-2000:])
    return url


def _stopped(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # a write that was never taken
                continue
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
