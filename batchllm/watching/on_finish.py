"""`on_finish`: a command of the user's at the end of a run, bounded in time, without any key in its environment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from batchllm.strictjson import dumps
from batchllm.terminal import say
from batchllm.types import Json
from batchllm.watching import words

if TYPE_CHECKING:
    from batchllm.pipeline import Run
    from batchllm.steps import Asked, Done, Finished

GRACE_S = 2.0
STDERR = 2


class OnFinish:
    """Runs `/bin/sh -c COMMAND` with the summary, one line of JSON, on its standard input and facts as BATCHLLM_RUN_*.

    What it prints goes to stderr. Where it fails or takes too long that is said, and the exit code of the run stays what
    it is: what was asked for and paid is no worse for it. `secret` are variables it does not get.
    """

    def __init__(self, command: str, timeout_s: float, outer: Mapping[str, str], secret: frozenset[str]) -> None:
        self._command, self._timeout_s = command, timeout_s
        self._outer, self._secret = outer, secret

    def started(self, run: Run) -> None:
        """Its time is the end."""

    def step(self, came: Done | Json, item: Asked) -> None:
        """Its time is the end."""

    def answered(self, answers: Sequence[Finished]) -> None:
        """Its time is the end."""

    def finished(self, summary: Json, code: int) -> None:
        told = {name: value for name, value in summary.items() if name != "series"}
        told = {**told, "ended": {**summary["ended"], "exit_code": code}}
        environment = words.environment(summary, code, self._outer, self._secret)
        problem = self._run(dumps(told) + b"\n", environment)
        if problem is not None:
            say(f"  note: on_finish {problem}; the run itself is not affected")

    def _run(self, data: bytes, environment: Mapping[str, str]) -> str | None:
        """What went wrong, None if nothing did."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, from the settings
                ["/bin/sh", "-c", self._command],
                stdin=subprocess.PIPE, stdout=STDERR, env=dict(environment), start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            return f"could not be started: {error}"
        with process:
            try:
                process.communicate(data, timeout=self._timeout_s)
            except subprocess.TimeoutExpired:
                return f"took longer than {self._timeout_s:g} s and was stopped"
            finally:
                _end(process)
        return f"ended with exit code {process.returncode}" if process.returncode else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop what still runs, with everything it started: also where a signal ends the waiting."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            return
