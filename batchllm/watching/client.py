"""The other end of the control socket: one order and its answer, or the state of a run as it changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.journal.lock import holder
from batchllm.journal.storage import Storage
from batchllm.strictjson import dumps, loads
from batchllm.types import Json
from batchllm.watching.address import connect

ANSWER_S = 15.0
LINE = 4 << 20


def ask(folder: Path, order: Json) -> Json:
    """The run's answer. Raises `JobError`: 69 where none is at work here, 77 where it is another user's."""
    return next(_answers(folder, order))


def watch(folder: Path) -> Iterator[Json]:
    """The state of the run about every second; ends with the run. Raises as `ask` does."""
    return _answers(folder, {"do": "watch"})


def _answers(folder: Path, order: Json) -> Iterator[Json]:
    connection = connect(folder, ANSWER_S)
    if connection is None:
        raise _nobody(folder)
    came = False
    with connection, connection.makefile("rb") as lines:
        try:
            connection.sendall(dumps(order) + b"\n")
            connection.shutdown(socket.SHUT_WR)
            while (line := lines.readline(LINE)).endswith(b"\n"):
                answer = loads(line)
                came = True
                yield dict(answer)
        except (ConnectionError, TimeoutError) as error:
            if came:
                raise _broken(folder, str(error) or type(error).__name__) from None
        except (OSError, ValueError, TypeError) as error:
            raise _broken(folder, str(error) or type(error).__name__) from None
    if not came:
        raise _broken(folder, "it took too many callers, or has just ended")


def _nobody(folder: Path) -> JobError:
    if not folder.is_dir():
        return JobError(ExitCode.BAD_DATA, f"{folder}: there is no such folder")
    held = holder(Storage(), folder)
    if held is None:
        return JobError(ExitCode.UNAVAILABLE, f"{folder}: no run is at work here")
    return JobError(
        ExitCode.UNAVAILABLE, f"{folder}: a run is at work ({held}), but it cannot be reached from this machine now"
    )


def _broken(folder: Path, why: str) -> JobError:
    return JobError(ExitCode.UNAVAILABLE, f"{folder}: the run did not answer: {why}")
