"""batchllm and its peers, measured: sets up what is missing, runs them interleaved, writes the figures and the page.

    python -m benchmarks.peers [--quick] [--rounds 5] [--only NAME,…] [--scenes NAME,…] [--page]

The figures go to `benchmarks/peers/results.json`, the page and its pictures to `docs/peers.md`; `--page` makes them anew without
measuring. The environments lie in ~/.cache/batchllm-peers. Nothing but the package index is spoken to, and only to set up.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from batchllm import __version__
from benchmarks.make_job import Shape, write_job
from benchmarks.peers import page
from benchmarks.peers.environments import Ready, Tools, cache_folder, ready, tools
from benchmarks.peers.measuring import FailedError, Run, Task, run
from benchmarks.peers.scenes import SCENES, Scene, lines_for
from benchmarks.peers.servers import Base, late_server, nginx, trusting
from benchmarks.peers.table import BARE, OURS, PEERS, WRK, Peer
from benchmarks.processes import ROOT

RESULTS = Path(__file__).parent / "results.json"
ROUNDS = 5
KEPT = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "BATCHLLM_CA_FILE")


@dataclass
class Figures:
    """Everything that was measured, and what could not be."""

    machine: str
    rounds: int
    quick: bool
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)


class Measuring:
    """Runs scene by scene, round by round, peer by peer, so that what else the machine does falls on all."""

    def __init__(self, peers: Sequence[tuple[Peer, Ready]], programs: Tools, figures: Figures) -> None:
        self._peers = peers
        self._tools = programs
        self._figures = figures

    def scene(self, scene: Scene, base: Base) -> None:
        with ExitStack() as open_things:
            folder = Path(open_things.enter_context(tempfile.TemporaryDirectory()))
            base_url = base.url(scene.path, tls=scene.tls)
            if scene.latency_ms:
                base_url = open_things.enter_context(late_server(scene.latency_ms))
            variables = {name: value for name, value in trusting(base).items() if name in KEPT} if scene.tls else {}
            failed: set[str] = set()
            quick = self._figures.quick
            for number in range(scene.rounds or self._figures.rounds):
                for peer, environment in self._fit(scene):
                    if peer.name in failed:
                        continue
                    many = lines_for(scene, peer.share, quick=quick)
                    try:
                        found = self._once(scene, peer, environment, folder, base_url, variables, many)
                    except FailedError as error:
                        failed.add(peer.name)
                        self._figures.failures.append({"scene": scene.name, "peer": peer.name, "why": str(error)})
                        _say(f"{scene.name}: {peer.name} failed: {error}")
                        continue
                    self._figures.runs.append({"scene": scene.name, "peer": peer.name, "round": number + 1, **found})
                    _say(f"{scene.name}, round {number + 1}: {peer.name}: {found}")

    def _fit(self, scene: Scene) -> Iterator[tuple[Peer, Ready]]:
        for peer, environment in self._peers:
            if (scene.ours_only and peer.name != OURS) or peer.share < scene.least:
                continue
            if scene.streams and not peer.streams:
                continue
            if peer.name == WRK and (scene.kind == "memory" or scene.path == "/refusals"):
                continue
            if peer.name == BARE and scene.path == "/refusals":
                continue
            yield peer, environment

    def _once(
        self, scene: Scene, peer: Peer, environment: Ready, folder: Path, base_url: str, variables: dict[str, str], many: int
    ) -> dict[str, float]:
        """The job, and a job of one line right before it, whose cost is that of starting."""
        measured = []
        for lines in (1, many):
            job = folder / f"{lines}.jsonl"
            if not job.exists():
                write_job(job, lines, Shape(size=scene.prompt_bytes))
            with tempfile.TemporaryDirectory(dir=folder) as place:
                if peer.name == WRK and lines == 1:
                    measured.append(Run(0.0, 0.0, 0, 0))
                else:
                    measured.append(
                        run(peer, environment, self._tools, Task(scene, job, lines, Path(place), base_url, variables))
                    )
        start, whole = measured
        return {
            "lines": whole.answered, "cpu_s": whole.cpu_s, "wall_s": whole.wall_s, "peak": whole.peak,
            "start_cpu_s": start.cpu_s, "start_wall_s": start.wall_s,
        }  # fmt: skip


def measure(
    names: Sequence[str], scenes: Sequence[str], rounds: int, keep: Callable[[Figures], None], *, quick: bool
) -> Figures:
    """Every scene; `keep` is given what there is after each of them, since all of it takes long."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    figures = Figures(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}", rounds, quick)
    programs = tools(cache)
    if programs.nginx is None:
        raise SystemExit("nginx is neither on this machine nor to be had from its packages: apt-get install nginx-light")
    fit = []
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        found = ready(peer, cache)
        if peer.name == WRK and programs.wrk is None:
            found = "not on this machine, nor to be had from its packages"
        if isinstance(found, str):
            figures.missing[peer.name] = found
            _say(f"{peer.name} is left out: {found}")
        else:
            figures.versions[peer.name] = __version__ if peer.name == OURS else found.version
            fit.append((peer, found))
    with tempfile.TemporaryDirectory() as place, nginx(programs.nginx, Path(place)) as base:
        measuring = Measuring(fit, programs, figures)
        for scene in SCENES:
            if not scenes or scene.name in scenes:
                measuring.scene(scene, base)
                keep(figures)
    return figures


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="batchllm beside other tools.")
    parser.add_argument("--quick", action="store_true", help="a fifth of the lines or fewer, two rounds: to see that it works")
    parser.add_argument("--rounds", metavar="N", type=int, help=f"(default: {ROUNDS}, quick: 2)")
    parser.add_argument("--only", metavar="A,B", default="", help=f"peers: {', '.join(peer.name for peer in PEERS)}")
    parser.add_argument("--scenes", metavar="A,B", default="", help=f"scenes: {', '.join(scene.name for scene in SCENES)}")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page from the figures there are")
    parser.add_argument("--results", type=Path, default=RESULTS, help="(default: benchmarks/peers/results.json)")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the page and its pictures (default: docs)")
    given = parser.parse_args()
    if not given.page:
        rounds = given.rounds or (2 if given.quick else ROUNDS)
        names, scenes = ([one for one in text.split(",") if one] for text in (given.only, given.scenes))

        def keep(figures: Figures) -> None:
            given.results.write_text(json.dumps(asdict(figures), indent=1) + "\n", encoding="utf-8")

        measure(names, scenes, rounds, keep, quick=given.quick)
    page.write(json.loads(given.results.read_text(encoding="utf-8")), given.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
