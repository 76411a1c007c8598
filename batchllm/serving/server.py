"""A server that lives as long as the run: started by a command of the user's, waited for, watched, stopped in every case.

    with served(configuration, folder) as server:      None where the settings start nothing
        server.base_url                                 known before the server runs
        server.start()                                  blocks until it answers; raises `JobError` (69)
        server.on_end(tell)                             `tell(JobError)` if it ends by itself
                                                        leaving the block stops it

The command is split into words without a shell; `{port}` in it is a free port of the loopback. The process that keeps it
ends it also when we are killed (see `keeper`). Its output stands in `server.log` in the folder of the run.
"""

from __future__ import annotations

import http.client
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from batchllm.configuration import Configuration
from batchllm.errors import ExitCode, JobError
from batchllm.serving.plan import Plan, environment_for, plan
from batchllm.terminal import say

LOG = "server.log"
GRACE_S = 10.0
POLL_S = 0.2
TAIL_LINES = 15
_KEEPER = Path(__file__).with_name("keeper.py")
_CODES = {signal.SIGINT: ExitCode.SIGINT, signal.SIGTERM: ExitCode.SIGTERM, signal.SIGHUP: ExitCode.SIGHUP}


@contextmanager
def served(configuration: Configuration, folder: Path) -> Iterator[Server | None]:
    """The server of these settings, not yet started; stopped on leaving. None if they start none."""
    settings = configuration.settings
    started = plan(settings)
    if started is None:
        yield None
        return
    server = Server(started, folder, environment_for(settings, started, configuration.environment))
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def stops_as_endings() -> Iterator[None]:
    """Until the loop takes them over, a signal is a `JobError` like any other ending. One that is ignored (nohup) stays so."""

    def on_signal(number: int, _: object) -> None:
        name = signal.Signals(number)
        raise JobError(_CODES[name], f"stopped by {name.name}")

    heard = [number for number in _CODES if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Server:
    """A command that serves, from `start` to `stop`."""

    def __init__(self, started: Plan, folder: Path, environment: Mapping[str, str]) -> None:
        self.plan = started
        self.log = folder / LOG
        self._environment = dict(environment)
        self._keeper: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._held: socket.socket | None = None
        base_url = started.base_url
        if base_url is None:
            self._held = socket.socket()  # held until the start, so that nobody else is given the port
            self._held.bind(("127.0.0.1", 0))
            base_url = f"http://127.0.0.1:{self._held.getsockname()[1]}/v1"
        self.base_url = base_url
        address = urlsplit(base_url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80

    def start(self) -> None:
        """Start the command and wait until it answers. Raises `JobError`: 2 if it cannot be started, 69 if it never answers."""
        words = [word.replace("{port}", str(self._port)) for word in self.plan.command]
        if shutil.which(words[0]) is None:
            raise JobError(ExitCode.USAGE, f"serve: there is no command '{words[0]}' on this machine")
        self._free_port()
        began = time.monotonic()
        say(f"starting: {shlex.join(words)}  (its output: {self.log})")
        self._spawn(words)
        self._wait(began)
        say(f"the server answers at {self.base_url} after {time.monotonic() - began:.0f} s")

    def on_end(self, tell: Callable[[JobError], object]) -> None:
        """Have `tell` called, in a thread of its own, if the server ends before it is stopped."""
        keeper = self._keeper
        if keeper is not None:
            Thread(target=self._watch, args=(keeper, tell), name="batchllm-server", daemon=True).start()

    def stop(self) -> None:
        """End the server and wait until it is gone: SIGTERM to its group, SIGKILL after `GRACE_S`."""
        self._stopping = True
        if self._held is not None:
            self._held.close()
        keeper = self._keeper
        if keeper is None:
            return
        assert keeper.stdin is not None
        with suppress(OSError):
            keeper.stdin.close()
        try:
            keeper.wait(GRACE_S + 5)
        except subprocess.TimeoutExpired:
            keeper.kill()  # and the kernel the server, where it can
            keeper.wait()

    def _free_port(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
            return
        with suppress(OSError), socket.create_connection((self._host, self._port), 2):
            raise JobError(ExitCode.USAGE, f"serve: something answers at {self.base_url} already; leave `serve` out to use it")

    def _spawn(self, words: list[str]) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        with os.fdopen(os.open(self.log, flags, 0o600), "wb", buffering=0) as log:
            log.write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} {shlex.join(words)}\n".encode())
            # -I -S: the keeper needs nothing of the environment it hands on.
            self._keeper = subprocess.Popen(  # noqa: S603 - our own interpreter; the command is the user's
                [sys.executable, "-I", "-S", str(_KEEPER), str(GRACE_S), *words],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environment, start_new_session=True,
            )  # fmt: skip

    def _wait(self, began: float) -> None:
        keeper = self._keeper
        assert keeper is not None
        while not self._answers():
            if keeper.poll() is not None:
                raise self._ended(keeper.returncode, "before it was ready")
            if time.monotonic() - began > self.plan.timeout_s:
                self._tail()
                raise JobError(
                    ExitCode.UNAVAILABLE,
                    f"the server did not answer within {self.plan.timeout_s:g} s (serve_timeout); its output is in {self.log}",
                )
            time.sleep(POLL_S)
        if keeper.poll() is not None:  # then it was somebody else who answered
            raise self._ended(keeper.returncode, "before it was ready")

    def _answers(self) -> bool:
        """Whether it is ready: `/health` says so, or `/models` where there is no such path. One that wants a key is."""
        health = self._status("/health")
        if health in (404, 405):
            return self._status(urlsplit(self.base_url).path + "/models") in (200, 401, 403)
        return health in (200, 401, 403)

    def _status(self, path: str) -> int:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def _watch(self, keeper: subprocess.Popen[bytes], tell: Callable[[JobError], object]) -> None:
        code = keeper.wait()
        if not self._stopping:
            with suppress(RuntimeError):  # the loop that was to be told has ended
                tell(self._ended(code, "in the middle of the run"))

    def _ended(self, code: int, when: str) -> JobError:
        self._tail()
        how = f"by signal {code - 128}" if code > 128 else f"with exit code {code}"
        return JobError(ExitCode.UNAVAILABLE, f"the server ended {how} {when}; its output is in {self.log}")

    def _tail(self) -> None:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
                last = deque(file.read().splitlines(), TAIL_LINES)
        except OSError:
            return
        for line in last:
            say("  | " + line.decode("utf-8", "replace"))
