"""What follows from the end of a worker's pool: for all of the run, or for this worker alone. Pure."""

from __future__ import annotations

from batchllm.engines.ray_pool.hands import LostError
from batchllm.engines.ray_pool.limits import Limits
from batchllm.engines.ray_pool.wire import Ended, Report
from batchllm.errors import ExitCode, JobError


def parted(ended: Ended, report: Report, worker: int, limits: Limits, *, alone: bool) -> JobError | bool:
    """What the run ends with; or else whether another worker is to take this one's place. `alone`: no other is at work.

    Raises `LostError` for an end that has no reason.
    """
    if ended.unheard:
        return True
    error = ended.error
    if error is None:
        raise LostError("its pool ended by itself")
    if ended.dry:
        if not alone:
            return False
        return limits.could_have_more(worker, report) or limits.reached()
    if error.exit_code is ExitCode.UNAVAILABLE and not alone:
        return False  # only this node does not reach the endpoint
    return error
