"""`metrics_file`: how a run goes, for node_exporter's textfile collector, every 15 s and at the end."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batchllm.errors import ExitCode
from batchllm.journal.storage import Storage, write_whole
from batchllm.tally import Histogram
from batchllm.terminal import say
from batchllm.types import Json
from batchllm.watching.exposition import Moment, exposition, last_success
from batchllm.watching.facts import Recent, facts

if TYPE_CHECKING:
    from batchllm.pipeline import Run
    from batchllm.steps import Asked, Done, Finished

EVERY_S = 15.0
MODE = 0o644
"""Another user's node_exporter reads it: it holds counts and names, no prompt and no key."""


class _Readable(Storage):
    def open(self, path: Path, flags: int) -> int:
        fd = super().open(path, flags)
        os.fchmod(fd, MODE)
        return fd


class MetricsFile:
    """Replaces the file as a whole each time, from a thread that only looks at the run. A file that cannot be written is
    said once; the run goes on."""

    def __init__(self, path: Path, batch: str, recent: Recent) -> None:
        self._path, self._batch, self._recent = path, batch, recent
        self._started = time.time()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._complained = False
        self._success: float | None = None
        with contextlib.suppress(OSError, ValueError):
            self._success = last_success(path.read_bytes())

    def started(self, run: Run) -> None:
        self._started = time.time()
        self._thread = threading.Thread(target=self._keep, name="batchllm-metrics", daemon=True)
        self._thread.start()

    def step(self, came: Done | Json, item: Asked) -> None:
        """The thread looks by itself."""

    def answered(self, answers: Sequence[Finished]) -> None:
        """The thread looks by itself."""

    def finished(self, summary: Json, code: int) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(EVERY_S)
        if code == ExitCode.OK:
            self._success = time.time()
        self._write(code)

    def _keep(self) -> None:
        self._write(None)
        while not self._ended.wait(EVERY_S):
            self._write(None)

    def _write(self, code: int | None) -> None:
        try:
            self._replace(code)
        except Exception as error:
            if not self._complained:
                self._complained = True
                why = (
                    error.strerror or error
                    if isinstance(error, OSError)
                    else f"a defect in batchllm itself ({type(error).__name__})"
                )
                say(f"  note: the metrics file {self._path} cannot be written: {why}")

    def _replace(self, code: int | None) -> None:
        run, now = self._recent.run, time.time()
        told = facts(run, self._recent) if run is not None else {}
        latency = run.tally.latency if run is not None else Histogram()
        moment = Moment(self._started, now, code, self._success)
        write_whole(_Readable(), self._path, exposition(told, latency, moment, self._batch))
