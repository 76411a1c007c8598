"""What a run is made of: put together by `assembly`, looked at by everything above the pool."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from batchllm.engines.engine import Elsewhere, Engine, Means, engine
from batchllm.journal.storage import Storage
from batchllm.preflight import Preflight
from batchllm.protocols import Transport
from batchllm.records import Record
from batchllm.reports.summary import Facts
from batchllm.route import Route
from batchllm.settings import Settings
from batchllm.sources.job_file import JobFile
from batchllm.types import Json
from batchllm.watching import Watchers


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a run is made of, put together by `assembly`."""

    settings: Settings
    job: JobFile
    folder: Path
    route: Route
    shaping: Json
    transport: Callable[[], Transport]
    facts: Facts
    version: str
    key_hint: str = ""
    preflight: Preflight | None = None
    storage: Storage = Storage()  # noqa: RUF009 - it holds no state
    jitter: Callable[[], float] = random.random
    deliver: Callable[[Record], Awaitable[None]] | None = None
    priced: Callable[[Iterable[str]], Json] | None = None
    watch: Watchers = Watchers()  # noqa: RUF009 - nobody looks on
    engine: Callable[[Means], Engine] = engine
    elsewhere: Elsewhere | None = None
