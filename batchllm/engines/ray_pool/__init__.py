"""The pool on a Ray cluster: this process reads the job and writes the journal, workers on any number of nodes ask.

driver    conversations with workers: orders out, reports in        worker   an ordinary pool, fed by orders
intake    outcomes to the journal, first of all                     outbox   outcomes kept until they stand there
custody   who has which line                                        slowing  a refusal met by one slows all
limits    the run's limits, shared out (`shares`)                   hiring   a worker for each place
supply    the job's lines on their way (`orders`)                   cluster  the only part that knows Ray

docs/scale.md says how to use it, docs/decisions/0017-orders-and-reports.md why it is made so.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchllm.engines.engine import Engine, Means
    from batchllm.settings import Settings


def ready(settings: Settings) -> None:
    """Raises `JobError` (2) where Ray is not installed, or the address of its cluster is none."""
    from batchllm.errors import ExitCode, JobError

    if find_spec("ray") is None:
        raise JobError(ExitCode.USAGE, "the engine 'ray' needs a package: pip install 'batchllm[ray]'")
    address = settings.ray_address or os.environ.get("RAY_ADDRESS") or "auto"
    if "://" in address:
        raise JobError(
            ExitCode.USAGE,
            f"the Ray address {address} is a client's; run on a node of the cluster (`ray job submit`) and give HOST:PORT, or none",
        )
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdigit()):
        raise JobError(ExitCode.USAGE, f"the Ray address {address} should be HOST:PORT, as in 10.0.0.1:6379")


def pool(means: Means) -> Engine:
    """The engine of the settings `ray_address` and `workers`."""
    from batchllm.engines.ray_pool.driver import RayPool

    # Ray prints what it has to say of lost nodes on standard output, which is ours; both are read when it is imported.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from batchllm.engines.ray_pool.cluster import RayCrew

    elsewhere = means.elsewhere
    assert elsewhere is not None
    return RayPool(means, RayCrew(means.settings.ray_address, home_only=elsewhere.home_only))
