"""The seam of this folder: what every engine can do, and what one is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from batchllm.budget import Budgets
from batchllm.endings import Endings
from batchllm.engines import CHECKS, ENGINES
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import Feeder, RawFeeder
from batchllm.engines.roster import Roster
from batchllm.errors import JobError
from batchllm.journal.storage import Storage
from batchllm.protocols import Transport
from batchllm.route import Route
from batchllm.settings import Settings
from batchllm.sources.job_file import Rereading
from batchllm.throttle import Throttle
from batchllm.types import Json, Request

Lines = Callable[[Callable[[int], bool]], Iterator[list[Request]]]
"""Reads the job once more: the requests of the lines that are wanted and not finished, in order, in small batches. Blocking."""


@dataclass(frozen=True, slots=True)
class Remade:
    """What requests are sent with, made anew in another process: the route, the settings, a closed transport, and what reads
    lines that come as they stand in the job."""

    route: Route
    settings: Settings
    transport: Callable[[], Transport]
    rereading: Rereading


Recipe = Callable[[Mapping[str, str]], Remade]
"""Makes what requests are sent with, wherever it is called. It travels, so it is a function of a module or a `partial` of one."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What makes the same requests in another process: the recipe, and the secrets it is called with, which travel apart.

    `rereading` is here what the recipe makes there. `home_only`: the endpoint is one that this run started, and is not reached
    from another machine.
    """

    recipe: Recipe
    secrets: Mapping[str, str] = field(repr=False)
    rereading: Rereading
    home_only: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """What an engine is made of: the route of all lines, an open transport, the limits, where records go.

    `budget` is the money and the tokens there are; `folder` and `storage` are for an engine that keeps files of its own
    beside the journal; `lines` reads the job again; `durable` forces to disk what went through `outlet` (blocking), and says
    whether the disk took it; `pending` counts the lines that have no record. `elsewhere` is for an engine whose requests
    are sent by other processes, `roster` for one that chooses among several endpoints here.
    """

    settings: Settings
    route: Route
    transport: Transport
    throttle: Throttle
    outlet: Outlet
    endings: Endings
    jitter: Callable[[], float]
    budget: Budgets
    folder: Path
    storage: Storage
    lines: Lines
    durable: Callable[[], bool]
    elsewhere: Elsewhere | None = None
    roster: Roster | None = None
    pending: Callable[[], int] = int  # none where nobody counts


class Engine(Protocol):
    """Runs requests to their records."""

    throttle: Throttle
    parked: int
    """Lines that wait to be asked again."""

    async def run(self, feeder: Feeder) -> None:
        """Return when every request has its record, or the engine was stopped and what was in flight has ended.

        Raises the `JobError` that stopped it, if one did. A cancel ends it at once.
        """
        ...

    def stop(self, ending: JobError | None = None) -> None:
        """Begin nothing new."""
        ...

    @property
    def in_flight(self) -> int:
        """Requests on their way."""
        ...

    def figures(self) -> Json:
        """What the summary says of this engine's own, under its name; empty where it has nothing of its own."""
        ...


@runtime_checkable
class Forwarding(Engine, Protocol):
    """An engine whose workers, in other processes, read lines before they send them."""

    async def forward(self, feeder: RawFeeder) -> None:
        """See `run`."""
        ...

    def workers(self) -> list[Json]:
        """What each worker did so far: `worker`, `node`, `requests`, …; `in_flight` is None where none is at work. May be called
        from any thread."""
        ...


def name_of(settings: Settings) -> str:
    """Which engine of the table these settings want."""
    return settings.lane if settings.lane != "live" else settings.engine


def refuse_unready(settings: Settings) -> None:
    """Before anything is touched. Raises `JobError` (2) where the engine cannot work with these settings, or here."""
    check = CHECKS.get(name_of(settings))
    if check is not None:
        module, _, ready = check.partition(":")
        getattr(import_module(module), ready)(settings)


def engine(means: Means) -> Engine:
    """The engine that the settings want, loaded now."""
    module, _, factory = ENGINES[name_of(means.settings)].partition(":")
    make = cast("Callable[[Means], Engine]", getattr(import_module(module), factory))
    return make(means)
