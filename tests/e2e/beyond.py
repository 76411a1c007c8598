"""One run of the real pipeline for lines that are more than a prompt; what it left behind, for assertions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchllm.assembly import parts
from batchllm.configuration import load
from batchllm.errors import JobError
from batchllm.journal.storage import Storage
from batchllm.pipeline import Run
from batchllm.testing import FakeTransport, FaultyStorage, Killed, Ledger, QuickDisk, run_virtual
from batchllm.testing.fake_transport import Script
from batchllm.types import Json


@dataclass
class Bench:
    """A folder with a job in it that can be run again and again; `sent` are the bodies of all requests, in order."""

    root: Path
    lines: Sequence[Any]
    script: Script
    settings: dict[str, Any] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    sent: list[Json] = field(default_factory=list)
    summary: Json = field(default_factory=dict)
    running: Run | None = None

    @property
    def folder(self) -> Path:
        return self.root / "out"

    def job(self) -> Path:
        path = self.root / "job.jsonl"
        path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in self.lines))
        return path

    def run(self, storage: Storage | None = None, **settings: Any) -> int:
        """The exit code of one run; -9 where its storage died."""
        storage = storage or QuickDisk()
        try:
            return self._run(storage, settings)
        except Killed:
            return -9
        except BaseExceptionGroup as group:
            if group.split(Killed)[1] is not None:
                raise
            return -9

    def _run(self, storage: Storage, settings: dict[str, Any]) -> int:
        job = self.job()
        flags = {"base_url": "http://127.0.0.1:9/v1", "model": "fake", "concurrency": 4, **self.settings, **settings}
        made = parts(load(job, flags, working_dir=self.root, environ={}), job, self.folder, command="batchllm run")

        def alive() -> bool:
            return not (isinstance(storage, FaultyStorage) and storage.dead)

        def noted(text: str, nth: int, body: Json) -> Any:
            self.sent.append(body)
            return self.script(text, nth, body)

        transport = FakeTransport(noted, self.ledger, alive)
        run = Run(replace(made, storage=storage, transport=lambda: transport, jitter=lambda: 0.5))
        run.prepare()
        self.running = run
        run_virtual(run.execute())
        self.summary = run.conclude()
        if not alive():
            raise Killed
        return int(self.summary["ended"]["exit_code"])

    def refusal(self, **settings: Any) -> JobError:
        """The error of a run that does not begin."""
        try:
            self._run(QuickDisk(), settings)
        except JobError as error:
            return error
        raise AssertionError("the run was not refused")

    def read(self, name: str) -> list[Json]:
        path = self.folder / name
        data = path.read_bytes() if path.exists() else b""
        return [json.loads(line) for line in data.split(b"\n")[:-1] if line]

    @property
    def records(self) -> dict[str, Json]:
        return {one["custom_id"]: one for name in ("results.jsonl", "errors.jsonl") for one in self.read(name)}

    @property
    def notes(self) -> list[Json]:
        return [one for one in self.read("attempts.jsonl") if "record" not in one]


def at_endpoint(base_url: str, root: Path, lines: Sequence[Any], **settings: Any) -> Bench:
    """The same against a real endpoint, over real sockets, run once."""
    bench = Bench(root, lines, lambda text, nth, body: AssertionError(text))  # type: ignore[arg-type, return-value]
    job = bench.job()
    flags = {"base_url": base_url, "model": "m", "concurrency": 4, **settings}
    run = Run(parts(load(job, flags, working_dir=root, environ={}), job, bench.folder, command="batchllm run"))
    run.prepare()
    asyncio.run(run.execute())
    bench.summary = run.conclude()
    return bench
