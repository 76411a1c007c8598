"""An environment for each peer, made once in a cache folder outside the repository; and nginx and wrk from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.table import Peer

PACKAGES = ("nginx", "wrk", "libluajit-5.1-2")
INSTALL_S = 900


@dataclass(frozen=True, slots=True)
class Ready:
    """An interpreter that can run a peer, and the version it has."""

    python: str
    version: str


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batchllm-peers"


def ready(peer: Peer, cache: Path) -> Ready | str:
    """The peer's environment, made if it is not there; in words why it cannot be."""
    if not peer.requires:
        return Ready(sys.executable, "")
    folder = cache / peer.package
    python = folder / "bin" / "python"
    wanted = folder / "requires.txt"
    if not wanted.exists() or wanted.read_text() != " ".join(peer.requires):
        failed = _made(folder, python, peer)
        if failed:
            return failed
        wanted.write_text(" ".join(peer.requires))
    said = _run([str(python), "-c", f"from importlib.metadata import version as v; print(v({peer.package!r}))"])
    return Ready(str(python), said.stdout.strip()) if said.returncode == 0 else _last_line(said)


def _made(folder: Path, python: Path, peer: Peer) -> str | None:
    if not python.exists():
        made = _run([sys.executable, "-m", "venv", str(folder)])
        if made.returncode:
            return _last_line(made)
    quiet = ["-q", "--disable-pip-version-check"]
    installed = _run([str(python), "-m", "pip", "install", *quiet, *peer.requires])
    return _last_line(installed) if installed.returncode else None


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"not done after {INSTALL_S} s")


def _last_line(said: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (said.stderr or said.stdout).splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else f"ended with {said.returncode}"


@dataclass(frozen=True, slots=True)
class Tools:
    """Where nginx and wrk are, None where they are not; `libraries` is what wrk may need to find."""

    nginx: str | None
    wrk: str | None
    libraries: str


def tools(cache: Path) -> Tools:
    """Those on the machine; else their packages, fetched and unpacked into the cache: nothing is installed, no service started."""
    folder = cache / "debian"
    nginx, wrk = _found("nginx", folder), _found("wrk", folder)
    if (nginx is None or wrk is None) and shutil.which("apt-get"):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, capture_output=True, timeout=INSTALL_S, check=False)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True, timeout=60)
        nginx, wrk = _found("nginx", folder), _found("wrk", folder)
    libraries = next((str(path.parent) for path in folder.glob("usr/lib/**/libluajit*")), "")
    return Tools(nginx, wrk, libraries)


def _found(name: str, folder: Path) -> str | None:
    places = (folder / "usr/sbin" / name, folder / "usr/bin" / name)
    unpacked = next((str(path) for path in places if path.exists()), None)
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") or unpacked
