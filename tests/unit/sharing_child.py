"""Visits the shared limits in the folder that it is told, again and again, until it is killed; says when it has begun."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from batchllm.sharing.ledger import Ledger
from batchllm.throttle.pool import Ask
from batchllm.throttle.shared import Report

ledger = Ledger(Path(sys.argv[1]), "account", time.monotonic)
print("begun", flush=True)
while True:
    ledger.exchange(Report(Ask(600.0, need=1.0, want=2.0), Ask(None)))
    assert ledger.fault is None, ledger.fault
    time.sleep(0.0003)  # as long as a visit: SQLite does not queue those who wait
