"""One run of the real pipeline, over real sockets, against a fault server; what came of it, for assertions."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batchllm import assembly
from batchllm.configuration import Configuration
from batchllm.pipeline import Run
from batchllm.settings import checked
from batchllm.supervisor import supervise
from tests.e2e import jumping
from tests.faultserver import FaultServer, Request, Script, Step
from tests.faultserver.catalogue import Fault

CANARY = "sk-canary/+Q7vLx2=Zt9&kkWm5"
"""A key with every character that some encoding changes."""
QUICK = {"base": 0.01, "cap": 0.05}
"""Backoff for clocks that do not jump."""


def canary_forms(key: str = CANARY) -> dict[str, bytes]:
    """The key in every form a reply may echo it."""
    raw = key.encode()
    escaped = key.replace("/", "\\/").encode()
    return {
        "raw": raw,
        "url": quote(key, safe="").encode(),
        "base64": base64.b64encode(raw),
        "base64-url": base64.urlsafe_b64encode(raw),
        "json": escaped,
    }


def leaks(data: bytes, key: str = CANARY) -> list[str]:
    """The forms of the key that stand in these bytes, and any eight characters from its end on."""
    found = [name for name, form in canary_forms(key).items() if form in data]
    return found + (["its last eight"] if key[-8:].encode() in data else [])


@dataclass
class Trial:
    """`times` are the loop's seconds at each POST; `paid` counts the answers that were sent to their last byte."""

    summary: dict[str, Any]
    folder: Path
    times: list[float]
    requests: list[Request]
    elsewhere: list[Request]
    connections: int
    paid: int

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The records of a file of the output folder; every line is strict JSON and ends in a line feed."""
        path = self.folder / name
        data = path.read_bytes() if path.exists() else b""
        assert not data or data.endswith(b"\n")
        return [json.loads(line, parse_constant=_refuse) for line in data.split(b"\n") if line]

    @property
    def results(self) -> list[dict[str, Any]]:
        return self.lines("results.jsonl")

    @property
    def errors(self) -> list[dict[str, Any]]:
        return self.lines("errors.jsonl")

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Attempts that came to no record."""
        return [note for note in self.lines("attempts.jsonl") if "record" not in note]

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """The one record of each `custom_id` that has one."""
        every = [*self.results, *self.errors]
        found = {record["custom_id"]: record for record in every}
        assert len(found) == len(every), "a line has two records"
        return found

    @property
    def exit_code(self) -> int:
        return int(self.summary["ended"]["exit_code"])

    @property
    def files(self) -> bytes:
        """Every byte of the output folder."""
        return b"\n".join(path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file())


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def configuration(base_url: str, **settings: Any) -> Configuration:
    """Settings for an endpoint on loopback with the canary as its key."""
    values = {"base_url": base_url, "api_key_env": "CANARY", "model": "test-model", **settings}
    return Configuration(checked(values, {}), {"CANARY": CANARY})


def settings_of(fault: Fault, server: FaultServer, folder: Path) -> dict[str, Any]:
    """What a fault of the catalogue needs, in our settings' words."""
    needs = fault.needs
    settings: dict[str, Any] = {"timeouts": {}, "retries": {}, "sizes": {}}
    if "timeout_s" in needs:
        settings["timeouts"] = {"total": needs["timeout_s"], "connect": needs["timeout_s"]}
    if "idle_s" in needs:
        settings["timeouts"] = {"silence": needs["idle_s"]}
    if "max_response_bytes" in needs:
        settings["sizes"] = {"response": needs["max_response_bytes"]}
    if "max_pause_s" in needs:
        settings["retries"]["max_pause"] = needs["max_pause_s"]
    if "max_attempts" in needs:
        settings["retries"]["max_attempts"] = needs["max_attempts"]
    settings["concurrency"] = needs.get("concurrency", 8)
    if "provider" in needs:
        settings["provider"] = needs["provider"]
    if needs.get("trust"):
        settings["ca_file"] = str(server.ca_file)
    if needs.get("json"):
        schema = folder / "anything.json"
        schema.write_text('{"type": "object"}')
        settings.update(schema=str(schema), structured="prompt", reask=0)
    return settings


def write_job(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def conduct(
    server: FaultServer,
    job: Path,
    folder: Path,
    times: list[float],
    during: Callable[[Run], Any] | None = None,
    **settings: Any,
) -> Trial:
    """One run against a server that listens already. `during` is called with the run before it asks."""
    parts = assembly.parts(configuration(server.base_url, **settings), job, folder, command="batchllm run")
    run = Run(parts)
    run.prepare()
    try:
        if during is not None:
            during(run)
        await supervise(run, signals=False)
    finally:
        summary = run.conclude()
    elsewhere = server.elsewhere.requests if server.elsewhere else []
    return Trial(summary, folder, times, server.calls, list(elsewhere), len(server.connections), len(server.paid))


def timed(script: Script, times: list[float]) -> Callable[[Request], Step]:
    """The script's answers, with the loop's time of each POST noted."""
    play = script.player()

    def answer(request: Request) -> Step:
        if request.method == "POST":
            times.append(asyncio.get_running_loop().time())
        return play(request)

    return answer


def attempt(fault: Fault, tmp_path: Path, *, real_time: bool = False, **more: Any) -> Trial:
    """Run a fault's job against its server; `more` are further settings."""

    async def main() -> Trial:
        times: list[float] = []
        server = FaultServer(timed(fault.script(), times), connect=fault.connect, tls=fault.tls)
        async with server:
            job = write_job(tmp_path / "job.jsonl", fault.lines())
            settings = settings_of(fault, server, tmp_path)
            settings["retries"] |= QUICK if real_time else {}
            for name, value in more.items():
                settings[name] = {**settings[name], **value} if isinstance(value, dict) else value
            return await conduct(server, job, tmp_path / "out", times, **settings)

    if real_time:
        return asyncio.run(main())
    return jumping.run(main())
