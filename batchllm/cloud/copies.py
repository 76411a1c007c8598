"""Jobs and tables of object storage as local files: fetched before a command reads them, uploaded after it wrote them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from batchllm.cloud.address import Remote
from batchllm.cloud.bucket import filesystem_of, unreachable, why
from batchllm.errors import ExitCode, JobError
from batchllm.journal.storage import FOLDER_MODE, cannot_write

CACHE = Path("outputs/.cloud")
"""Where copies lie: a run reads its job more than once, and again when it goes on."""
_VERSION = ("size", "ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "updated")


def fetched(at: Remote, filesystem: Any = None) -> Path:
    """A local copy, fetched where there is none of this version. Raises `JobError`: 2, 69, 77, or 65 for no such object."""
    fs = filesystem if filesystem is not None else filesystem_of(at)
    folder = CACHE / at.mark
    copy, note = folder / at.name, folder / ".version.json"
    try:
        info = fs.info(at.path)
        if info.get("type") == "directory":
            raise FileNotFoundError
        version = orjson.dumps({name: str(info[name]) for name in _VERSION if name in info})
        if copy.is_file() and note.is_file() and note.read_bytes() == version:
            return copy
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        coming = folder / f".{at.name}.new"
        fs.get_file(at.path, str(coming))
    except FileNotFoundError:
        raise JobError(ExitCode.BAD_DATA, f"{at}: there is no such object; nothing was sent") from None
    except Exception as error:
        raise unreachable(at, error) from None
    if coming.stat().st_size != info["size"]:
        raise JobError(ExitCode.UNAVAILABLE, f"{at}: it changed while it was fetched; nothing was sent")
    try:
        coming.replace(copy)
        note.write_bytes(version)
    except OSError as error:
        raise cannot_write(copy, error) from None
    return copy


@contextmanager
def written(at: Remote, filesystem: Any = None) -> Iterator[Path]:
    """A local file to write; what it holds at the end is uploaded as a whole. Raises `JobError` (2, 69, 77).

    Where the upload fails the file is kept, and the message says where.
    """
    fs = filesystem if filesystem is not None else filesystem_of(at)
    with TemporaryDirectory(prefix="batchllm-") as folder:
        local = Path(folder) / at.name
        yield local
        if not local.exists():
            return
        try:
            fs.put_file(str(local), at.path)
        except Exception as error:
            code = unreachable(at, error).exit_code
            kept = Path(at.name).resolve()
            if kept.exists():
                kept = kept.with_name(f"{at.mark}-{at.name}")
            shutil.move(local, kept)
            raise JobError(code, f"{at}: {why(error)}; what was written is in {kept}") from None
