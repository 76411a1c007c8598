"""The commands that docs/cron.md prints, as printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from batchllm.cli.arguments import build_parser

PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("cron.md", "watching.md")]
TEXT = PAGES[0].read_text(encoding="utf-8")


def test_the_walk_runs_as_printed(tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").write_text("".join(f'{{"custom_id": "r{n}", "prompt": "Review {n}"}}\n' for n in range(12)))
    (tmp_path / "reviews.toml").write_text('provider = "simulator"\nmodel = "m"\n')
    (tmp_path / "batchllm").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m batchllm "$@"\n')
    (tmp_path / "batchllm").chmod(0o755)
    walk = re.search(r"<!-- walk -->\n```bash\n(.*?)```", TEXT, re.DOTALL)
    assert walk
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BATCHLLM_"))}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", walk[1]], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert (tmp_path / "outputs/reviews/results.jsonl").read_bytes().count(b"\n") == 12


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_pages_is_understood(page: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    commands = re.findall(r"^batchllm .*?(?=\s+#|\s+\|\||$)", "\n".join(blocks), re.MULTILINE)
    assert commands or page.name != "cron.md"
    for command in commands:
        words = shlex.split(command)[1:]
        build_parser(words).parse_args(words)
