"""The endpoint behind the gateway, which everything shares: one transport, one throttle, and the parts of each batch's run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from batchllm.assembly import line_reader, parts
from batchllm.configuration import Configuration
from batchllm.endings import Endings
from batchllm.engines.engine import Engine, Means
from batchllm.engines.local import pool
from batchllm.errors import ExitCode, JobError
from batchllm.gateway.lines import BatchLine
from batchllm.gateway.turnstile import Doorway
from batchllm.parts import Parts
from batchllm.protocols import Transport
from batchllm.settings import Settings, SharedLimits
from batchllm.sources.job_file import JobFile

COMMAND = "batchllm serve"
FORCED = {
    "on_change": "keep", "fresh": False, "limit": None, "report": False, "ordered": False, "strict": False, "until": None,
    "retry_failed": False, "media_root": None, "lane": "live", "canary": 0,
}  # fmt: skip
"""Whatever the settings say: a tenant's line reads no file here, and an accepted batch outlives a change of settings."""


class Lent:
    """The shared transport, for a run: leaving it closes nothing. What cuts one run's connections cuts all of them, and
    is done only where the gateway itself ends.
    """

    def __init__(self, transport: Transport) -> None:
        self.send = transport.send
        self.abort = transport.abort

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


@dataclass(frozen=True, slots=True)
class Upstream:
    """`shared` are the parts of a run of nothing: whose route, settings and transport hold for all."""

    configuration: Configuration
    base_url: str | None
    shared: Parts

    @classmethod
    def of(cls, configuration: Configuration, base_url: str | None) -> Upstream:
        """Raises `JobError` (2) for an endpoint or a setting that cannot work."""
        settings = configuration.settings
        forced = settings.model_copy(update={name: value for name, value in FORCED.items() if name in Settings.model_fields})
        configuration = replace(configuration, settings=forced)
        shared = parts(configuration, Path(), Path(), command=COMMAND, base_url=base_url)
        if shared.route.sites:
            raise JobError(ExitCode.USAGE, "serve takes one endpoint: keep one base_url")
        return cls(configuration, base_url, shared)

    def parts(self, job: Path, folder: Path, endpoint: str, transport: Transport, door: Doorway) -> Parts:
        """What a batch's run is made of. Blocking."""
        made = parts(self.configuration, job, folder, command=COMMAND, base_url=self.base_url)
        reader = BatchLine(line_reader(made.settings, made.preflight.fault if made.preflight else None), endpoint)
        return replace(
            made,
            settings=made.settings.model_copy(update={"limits": SharedLimits()}),  # the house shares for all
            job=JobFile(job, reader, made.settings.sizes.line),
            transport=lambda: Lent(transport),
            engine=_behind(door, made),
        )


def _behind(door: Doorway, made: Parts) -> Callable[[Means], Engine]:
    """The local pool, whose requests wait at this door for the throttle that all share."""

    def engine(means: Means) -> Engine:
        endings = Endings(made.settings.retries, made.facts.endpoint, made.key_hint, foreign=True)
        return pool(replace(means, throttle=door.throttle, endings=endings), door)

    return engine
