"""The walks in the documentation run as printed, and print what is printed there ("…" stands for any text)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WALKS = sorted(path.stem for path in (ROOT / "docs/walks").glob("*.md"))
BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A block of commands, and what a block right behind it says they print; None where nothing is said."""

    commands: str
    prints: str | None


def steps(walk: str) -> list[Step]:
    found = BLOCK.findall((ROOT / "docs/walks" / f"{walk}.md").read_text(encoding="utf-8"))
    return [
        Step(text, after[1] if after[0] == "text" else None)
        for (kind, text), after in zip(found, [*found[1:], ("", "")], strict=True)
        if kind == "bash"
    ]


def fits(printed: str, said: str) -> bool:
    """Whether it is what was said, where "…" alone on a line stands for any lines and elsewhere for any text of a line."""
    pattern = "".join(
        "(?:.*\n)*?" if line == "…\n" else ".*".join(map(re.escape, line.split("…"))) for line in said.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, printed) is not None


@pytest.mark.parametrize(
    ("printed", "said", "same"),
    [
        ("a\nb\n", "a\nb\n", True), ("a\nb\n", "a\n", False), ("a\nb\nc\n", "…\nc\n", True), ("c\n", "…\nc\n", True),
        ("6 rows, 26 columns\n", "6 rows, … columns\n", True), ("7 rows, 26 columns\n", "6 rows, … columns\n", False),
        ("a\nb\n", "a…\n", False),
    ],
)  # fmt: skip
def test_what_is_said_is_compared_line_by_line(printed: str, said: str, same: bool) -> None:
    assert fits(printed, said) is same


def test_there_are_three_walks_and_each_says_what_it_prints() -> None:
    assert WALKS == ["invoices", "labels", "models"]
    assert all(sum(step.prints is not None for step in steps(walk)) >= 2 for walk in WALKS)


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_runs_as_printed(walk: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs/walks" / walk, tmp_path / "docs/walks" / walk)
    here = tmp_path
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BATCHLLM_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for step in steps(walk):
        script = f"{step.commands}\npwd > {tmp_path / 'here'}"
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=here, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{step.commands}\n{done.stdout}"
        assert step.prints is None or fits(done.stdout, step.prints), f"{step.commands}\n{done.stdout}"
        here = Path((tmp_path / "here").read_text().rstrip("\n"))
