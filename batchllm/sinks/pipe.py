"""The two ends a file format may have: a file that is replaced whole, or stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from batchllm.sinks.replacement import replacement

STDOUT = Path("-")


@contextmanager
def target(path: Path) -> Iterator[BinaryIO]:
    """Bytes into `path`, replaced as a whole when the block ends well; into stdout for `-`."""
    if path == STDOUT:
        yield cast("BinaryIO", sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with replacement(path) as temporary, temporary.open("wb", buffering=1 << 20) as file:
        yield file
