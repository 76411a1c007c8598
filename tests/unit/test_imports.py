"""What `batchllm --help` may not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "openai", "pydantic", "tenacity", "tqdm", "uvloop")
PROGRAM = """
import sys
from batchllm.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("loaded:", *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]], ids=" ".join)
def test_help_loads_none_of_the_heavy_libraries(arguments: list[str]) -> None:
    program = PROGRAM.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout
    assert done.stderr.splitlines()[-1].split() == ["loaded:"]
