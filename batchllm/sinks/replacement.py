"""A file that is replaced as a whole or not at all, readable by its owner only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchllm.errors import ExitCode, JobError


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """The path of an empty new file (mode 0600) beside `path`, which takes its place when the block ends well.

    Whatever goes wrong, the old file stays and the new one is removed. Raises `JobError` (74) where the disk says no.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".new", dir=path.parent)
    except OSError as error:
        raise _refused(path, error) from None
    os.close(fd)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise _refused(path, error) from None
        raise


def _refused(path: Path, error: OSError) -> JobError:
    return JobError(ExitCode.DISK, f"{path}: cannot be written: {error.strerror or error}")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
