"""How long `batchllm --help` takes, beside an interpreter that imports argparse and nothing else.

python -m benchmarks.startup [--rounds 15]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Spread, cost

ARGPARSE = [sys.executable, "-c", "import argparse"]
HELP = [sys.executable, "-m", "batchllm", "--help"]
ALLOWED_FACTOR = 1.5
ALLOWED_MORE_S = 0.05


@dataclass(frozen=True, slots=True)
class Startup:
    """Seconds by the clock."""

    argparse_s: Spread
    help_s: Spread

    @property
    def allowed_s(self) -> float:
        return self.argparse_s.middle * ALLOWED_FACTOR + ALLOWED_MORE_S

    def rows(self) -> list[str]:
        return [
            f"import argparse  {self.argparse_s.shown('{:.3f}')} s",
            f"batchllm --help  {self.help_s.shown('{:.3f}')} s, {self.allowed_s:.3f} s allowed",
        ]


def measure(rounds: int) -> Startup:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cost(HELP, folder)  # the first one compiles
        pairs = [(cost(ARGPARSE, folder).wall_s, cost(HELP, folder).wall_s) for _ in range(rounds)]
    return Startup(Spread.of([one for one, _ in pairs]), Spread.of([one for _, one in pairs]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description="How long --help takes.")
    parser.add_argument("--rounds", metavar="N", type=int, default=15, help="(default: 15)")
    print("\n".join(measure(parser.parse_args().rounds).rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
