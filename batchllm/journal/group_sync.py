"""Forces what was written to disk in groups, in a thread of its own, off the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

Durability = Literal["none", "batch", "each"]
GROUP_S = 0.1
GROUP_RECORDS = 256


class GroupSync:
    """Calls `sync` at most `GROUP_S` seconds or `GROUP_RECORDS` records after a write.

    An OSError of `sync` is told once to `on_error` (from this thread) and final: nothing is synced after it, since the
    kernel has already dropped the pages it complained of. Any other error is a defect, and raised by `close`.
    """

    def __init__(self, sync: Callable[[], None], on_error: Callable[[OSError], None]) -> None:
        self._sync = sync
        self._on_error = on_error
        self._lock = threading.Lock()  # taken by its own name for each record: a condition's `with` costs twice as much
        self._ready = threading.Condition(self._lock)
        self._waiting = 0
        self._closing = False
        self._defect: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="batchllm-fsync", daemon=True)
        self._thread.start()

    def wrote(self, records: int = 1) -> None:
        """So many records were written; returns at once."""
        with self._ready:  # held by the thread for moments only, never while it syncs
            before = self._waiting
            self._waiting += records
            if not before or before < GROUP_RECORDS <= self._waiting:
                self._ready.notify()

    def _run(self) -> None:
        try:
            while self._next_group():
                self._sync()
        except OSError as error:
            self._on_error(error)
        except BaseException as error:
            self._defect = error

    def _next_group(self) -> bool:
        """Wait for a group to be complete; False once there will be none."""
        with self._ready:
            self._ready.wait_for(lambda: self._waiting or self._closing)
            self._ready.wait_for(lambda: self._waiting >= GROUP_RECORDS or self._closing, GROUP_S)
            self._waiting = 0
            return not self._closing

    def close(self) -> None:
        """Stop the thread, waiting for a sync under way; the caller syncs once more itself."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join()
        if self._defect is not None:
            defect, self._defect = self._defect, None
            raise defect
