"""One life of a run: the real pipeline on a given disk, against scripted replies, to its end or its death."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchllm.assembly import parts
from batchllm.configuration import load
from batchllm.errors import ExitCode, JobError
from batchllm.journal.storage import Storage
from batchllm.pipeline import Run
from batchllm.testing import FakeTransport, FaultyStorage, Killed, Ledger, QuickDisk, run_virtual
from tests.crash.scenes import CONCURRENCY, Scene

DIED = -9


@dataclass
class Life:
    """The same command, run once. `run` gives its exit code, or `DIED`."""

    scene: Scene
    folder: Path
    storage: Storage = field(default_factory=QuickDisk)
    ledger: Ledger = field(default_factory=Ledger)
    repeating: bool = False
    cancel_after: int | None = None
    """Loop turns after which the run is cancelled, as by a second signal."""
    notices: list[str] = field(default_factory=list)
    unwritten: int = 0

    def run(self) -> int:
        try:
            return self._run()
        except JobError as error:
            return int(error.exit_code)
        except Killed:
            return DIED
        except BaseExceptionGroup as group:
            if not isinstance(self.storage, FaultyStorage) or not self.storage.dead:
                raise
            _only_killed(group)
            return DIED

    def _run(self) -> int:
        job = self.scene.write_job(job_of(self.folder))
        flags = {"base_url": "http://127.0.0.1:9/v1", "model": "fake", "concurrency": CONCURRENCY, **self.scene.flags}
        if self.repeating:
            flags.pop("fresh", None)
        made = parts(load(job, flags, working_dir=job.parent, environ={}), job, self.folder, command="batchllm run")
        transport = FakeTransport(self.scene.script, self.ledger, self._alive)
        run = Run(replace(made, storage=self.storage, transport=lambda: transport, jitter=lambda: 0.5))
        run.prepare()
        self.notices = run.notices
        run_virtual(self._execute(run))
        summary = run.conclude()
        assert run._opened is not None
        self.unwritten = run._opened.journal.unwritten
        if not self._alive():
            raise Killed
        assert transport.most_in_flight <= CONCURRENCY
        return int(summary["ended"]["exit_code"])

    async def _execute(self, run: Run) -> None:
        if self.cancel_after is None:
            return await run.execute()
        execution = asyncio.ensure_future(run.execute())
        for _ in range(self.cancel_after):
            await asyncio.sleep(0)
        if execution.cancel():
            run.stop(JobError(ExitCode.SIGINT, "stopped by SIGINT"))
        with contextlib.suppress(asyncio.CancelledError):
            await execution
        return None

    def _alive(self) -> bool:
        return not (isinstance(self.storage, FaultyStorage) and self.storage.dead)


def job_of(folder: Path) -> Path:
    """Where the job of an output folder stands: beside the folder of output folders, which may not exist yet."""
    return folder.parent.with_name("job.jsonl")


def _only_killed(group: BaseExceptionGroup[BaseException]) -> None:
    _, rest = group.split(Killed)
    if rest is not None:
        raise rest


def counted(scene: Scene, folder: Path, make: Callable[[], Storage] = QuickDisk) -> list[str]:
    """The storage calls of an undisturbed run, by name."""
    storage = FaultyStorage(inner=make())
    assert Life(scene, folder, storage).run() == scene.ends
    return storage.trace
