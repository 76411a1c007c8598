"""One mutant's trial: a copy of the package with the mistake in it, and its tests in a process of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.table import MUTANTS, Edit, Mutant

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300.0
PASSED, FAILED = 0, 1
"""pytest's exit codes for what was collected and run; any other says that nothing was learned."""


@dataclass(frozen=True)
class Verdict:
    """`killed` if a test failed as it should; `why` says what happened where not."""

    name: str
    killed: bool
    seconds: float
    why: str = ""


@contextmanager
def package() -> Iterator[Path]:
    """A copy of the package as it stands, in a folder that goes first on the path."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as place:
        shutil.copytree(ROOT / "batchllm", Path(place) / "batchllm")
        yield Path(place)


def apply(edit: Edit, home: Path) -> None:
    """Make one change. Raises AssertionError unless its text stands in exactly one place."""
    where = home / "batchllm" / edit.where
    files = [where] if where.is_file() else sorted(where.rglob("*.py"))
    found = [(path, path.read_text()) for path in files if edit.old in path.read_text()]
    count = sum(text.count(edit.old) for _, text in found)
    assert count == 1, f"{edit.where}: the text to change stands there {count} times, not once:\n{edit.old}"
    path, text = found[0]
    path.write_text(text.replace(edit.old, edit.new))


def run(tests: Iterable[str], home: Path) -> subprocess.CompletedProcess[str]:
    """The tests with the package in `home`, up to the first that fails."""
    path = os.pathsep.join((str(home), str(ROOT)))
    command = [
        sys.executable, "-P", "-m", "pytest", "-x", "--no-header", "--tb=line", "-p", "tests.mutants.origin",
        "-o", f"pythonpath={home} {ROOT}", *tests,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": path, "MUTANT_HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def attempt(mutant: Mutant) -> Verdict:
    """Put the mistake in, and see whether its tests notice."""
    began = time.monotonic()
    with package() as home:
        for edit in mutant.edits:
            apply(edit, home)
        try:
            ended = run(mutant.tests, home)
        except subprocess.TimeoutExpired:
            return Verdict(mutant.name, False, TIMEOUT_S, "its tests did not end")
    seconds = time.monotonic() - began
    if ended.returncode == FAILED:
        return Verdict(mutant.name, True, seconds)
    if ended.returncode == PASSED:
        return Verdict(mutant.name, False, seconds, "no test noticed")
    said = f"{ended.stdout[-800:]}{ended.stderr[-800:]}"
    return Verdict(mutant.name, False, seconds, f"pytest ended with {ended.returncode}: {said}")


def attempts(mutants: Iterable[Mutant] = MUTANTS, at_once: int = 2) -> list[Verdict]:
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(attempt, mutants))
