"""The control socket of a run: its owner pauses, resumes, throttles and stops it, and asks how it stands.

One line of JSON is asked, `{"do": "pause"}`, and one line is answered, `{"ok": true, …}`; `{"do": "watch"}` is answered with
the state of the run every second until it ends. It is served by threads of its own: a run that drains, or whose loop is busy,
still answers. What changes the run is done on its loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batchllm.errors import ExitCode, JobError
from batchllm.strictjson import dumps, loads
from batchllm.terminal import say
from batchllm.types import Json
from batchllm.watching import address
from batchllm.watching.facts import Recent, facts
from batchllm.watching.orders import Limits, limits_from

if TYPE_CHECKING:
    from batchllm.pipeline import Run
    from batchllm.steps import Asked, Done, Finished

LINE = 64 << 10
CONNECTIONS = 8
IDLE_S = 30.0
BRIEF = ("ok", "state", "pid", "request_counts", "in_flight", "waiting", "limit", "concurrency", "rpm", "tpm", "waits_for")
"""What an order is answered with; `status` and `watch` tell all."""
EVERY_S = 1.0
DONE_S = 5.0
"""How long an order may wait for the run's loop."""
KNOCK_S = LAST_WORD_S = 1.0


class Control:
    """Serves the socket from the start of a run to its end."""

    def __init__(self, folder: Path, recent: Recent) -> None:
        self._folder, self._recent = folder, recent
        self._path: Path | None = None
        self._ended = threading.Event()
        self._answering: threading.Thread | None = None

    def started(self, run: Run) -> None:
        orders = _Orders(run, self._recent, asyncio.get_running_loop())
        listening = socket.socket(socket.AF_UNIX)
        try:
            self._path = address.bind(listening, self._folder)
            listening.listen()
        except OSError as error:
            listening.close()
            say(f"  note: this run cannot be controlled: {error.strerror or error}")
            return
        self._answering = threading.Thread(
            target=_answer, args=(listening, orders, self._ended), name="batchllm-control", daemon=True
        )
        self._answering.start()

    def step(self, came: Done | Json, item: Asked) -> None:
        """Whoever asks is answered from the run itself."""

    def answered(self, answers: Sequence[Finished]) -> None:
        """Whoever asks is answered from the run itself."""

    def finished(self, summary: Json, code: int) -> None:
        self._ended.set()
        if self._path is not None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:  # wakes `accept`
                knock.settimeout(KNOCK_S)
                knock.connect(str(self._path))
            address.release(self._path, self._folder)
        if self._answering is not None:
            self._answering.join(LAST_WORD_S)  # so that whoever watches hears of the end


def _answer(listening: socket.socket, orders: _Orders, ended: threading.Event) -> None:
    """Take callers until the run has ended; only the owner is heard, and only so many at once."""
    talks: list[_Conversation] = []
    with listening, contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            talks = [one for one in talks if one.thread.is_alive()]
            if ended.is_set():
                connection.close()
                break
            if len(talks) >= CONNECTIONS or not address.is_ours(connection):
                connection.close()
                continue
            talks.append(_Conversation(connection, orders, ended))
    for one in talks:
        one.end()


class _Orders:
    """What may be asked of a run, each order by its name."""

    def __init__(self, run: Run, recent: Recent, loop: asyncio.AbstractEventLoop) -> None:
        self._run, self._recent, self._loop = run, recent, loop

    def facts(self) -> Json:
        return {"ok": True, **facts(self._run, self._recent)}

    def obey(self, order: Json) -> Json:
        """Do what one line asks. Raises ValueError, with a sentence, for what cannot be done."""
        match order.get("do"):
            case "status":
                return self.facts()
            case "pause":
                self._on_loop(lambda: self._hold(True))
            case "resume":
                self._on_loop(lambda: self._hold(False))
            case "stop":
                ending = JobError(ExitCode.SIGTERM, "stopped by `batchllm ctl stop`")
                self._on_loop(lambda: self._run.drain(ending))
            case "set":
                wanted = limits_from(order)
                self._on_loop(lambda: self._relimit(wanted))
            case other:
                raise ValueError(f"there is no order {str(other)[:40]!r}; there are pause, resume, set, stop, status and watch")
        told = self.facts()
        return {name: told[name] for name in BRIEF}

    def _hold(self, held: bool) -> None:
        pool = self._run.pool
        if pool is None or self._run.ending is not None:
            raise ValueError("the run is ending already")
        pool.throttle.hold(held)

    def _relimit(self, wanted: Limits) -> None:
        pool = self._run.pool
        if pool is None:
            raise ValueError("the run is ending already")
        pool.throttle.relimit(self._loop.time(), cap=wanted.concurrency, rpm=wanted.rpm, tpm=wanted.tpm)

    def _on_loop(self, what: Callable[[], object]) -> None:
        """Do it where the run lives, and wait until it is done."""
        done = threading.Event()
        failed: list[ValueError] = []

        def do() -> None:
            try:
                what()
            except ValueError as error:
                failed.append(error)
            finally:
                done.set()

        try:
            self._loop.call_soon_threadsafe(do)
        except RuntimeError:
            raise ValueError("the run is ending already") from None
        if not done.wait(DONE_S):
            raise ValueError("the run is ending already, or too busy to answer")
        if failed:
            raise failed[0]


class _Conversation:
    """Lines of one caller, each answered by one."""

    def __init__(self, connection: socket.socket, orders: _Orders, ended: threading.Event) -> None:
        self._connection, self._orders, self._ended = connection, orders, ended
        self.thread = threading.Thread(target=self._hold, name="batchllm-caller", daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Hear nothing more, and wait a moment for the last answer to be given."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)
        self.thread.join(LAST_WORD_S)

    def _hold(self) -> None:
        try:
            with self._connection, self._connection.makefile("rb") as lines:
                self._connection.settimeout(IDLE_S)
                while (line := lines.readline(LINE)) and self._answered(line):
                    continue
        except OSError:
            return  # a caller that goes away is nobody's trouble
        except Exception:  # a defect of ours here is no more than an answer that is not given
            logging.getLogger("batchllm").debug("the defect", exc_info=True)

    def _answered(self, line: bytes) -> bool:
        """Answer one line; False where the conversation is over."""
        try:
            order = loads(line)
        except ValueError:
            order = None
        if not isinstance(order, dict) or not line.endswith(b"\n"):
            self._say({"ok": False, "error": 'an order is one line of JSON with a name: {"do": "status"}'})
            return False
        if order.get("do") == "watch":
            self._watch()
            return False
        try:
            self._say(self._orders.obey(order))
        except ValueError as error:
            self._say({"ok": False, "error": str(error)})
        return True

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._say(self._orders.facts())
            self._ended.wait(EVERY_S)
        self._say({**self._orders.facts(), "state": "ended"})

    def _say(self, answer: Json) -> None:
        self._connection.sendall(dumps(answer) + b"\n")
