"""`batchllm cancel`."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from batchllm.assembly import parts
from batchllm.cli.closing import closing
from batchllm.configuration import Configuration, load
from batchllm.engines.batch_lane.lane import cancelling
from batchllm.errors import ExitCode, JobError
from batchllm.journal.batches import BatchLog, BatchState, unfinished
from batchllm.journal.journal import Journal
from batchllm.journal.manifest import Manifest, read_manifest
from batchllm.journal.storage import Storage
from batchllm.pipeline import Run
from batchllm.settings import Settings, checked
from batchllm.strictjson import loads
from batchllm.supervisor import event_loop, supervise
from batchllm.terminal import say
from batchllm.types import Json

_OF_ONE_RUN = {"lane": "batch", "fresh": False, "strict": False, "until": None, "retry_failed": False}
"""Settings that belonged to the run whose batches are stopped, and not to this."""


def main(args: Namespace) -> int:
    folder: Path = args.folder
    manifest = read_manifest(folder)
    if manifest is None:
        raise JobError(ExitCode.BAD_DATA, f"{folder}: no run has begun here: there is no job.json")
    going = unfinished(folder)
    if not going:
        say(f"{folder}: no batch is unfinished")
        return 0
    if args.forget or _died_with_its_run(manifest):
        _forget(folder, going)
        return 0
    summary = _cancel(folder, manifest)
    if not args.quiet:
        closing(summary)
    left = unfinished(folder)
    if left:
        say(f"batchllm: {folder}: {len(left)} batches are still unfinished: {summary['ended']['reason']}")
    return int(summary["ended"]["exit_code"]) if left else 0


def _died_with_its_run(manifest: Manifest) -> bool:
    """Whether the batches were the embedded simulator's, which nobody can ask any more."""
    return manifest.simulated and not manifest.settings.get("base_url")


def _forget(folder: Path, going: list[BatchState]) -> None:
    storage = Storage()
    journal = Journal(folder, storage)
    try:
        log = BatchLog(storage, folder)
        try:
            for state in going:
                log.write("dropped", state.tag, why="given up by its user")
        finally:
            log.close()
    finally:
        journal.close()
    lines = sum(state.requests for state in going)
    say(f"{folder}: {len(going)} batches are given up; {lines:,} lines are pending again")


def _cancel(folder: Path, manifest: Manifest) -> Json:
    """A run that submits nothing, cancels, and applies what is finished."""
    known = {name for one, info in Settings.model_fields.items() for name in (one, info.alias)}
    settings = checked({name: value for name, value in manifest.settings.items() if name in known}, {})
    configuration = Configuration(settings.model_copy(update=_OF_ONE_RUN), load().environment)
    job = Path(manifest.job["path"])
    run = Run(replace(parts(configuration, job, folder, command=_command(folder, job)), engine=cancelling))
    run.prepare()
    try:
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(supervise(run, signals=True))
    finally:
        summary = run.conclude()
    return summary


def _command(folder: Path, job: Path) -> str:
    """The command that goes on afterwards: the last run's own, where it came to its end."""
    try:
        return str(loads((folder / "summary.json").read_bytes())["ended"]["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"batchllm run {job} -o {folder} --lane batch"
