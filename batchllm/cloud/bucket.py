"""A folder in object storage: whole objects, read and written through fsspec, with credentials from where its libraries look."""

from __future__ import annotations

import logging
from contextlib import suppress
from errno import ENOSYS
from pathlib import Path
from typing import Any

from batchllm.cloud.address import Remote
from batchllm.cloud.services import SERVICES
from batchllm.errors import ExitCode, JobError

_NO_ACCOUNT = ("NoCredentialsError", "PermissionError", "DefaultCredentialsError", "ClientAuthenticationError")
_NO_RIGHT = (401, 403)
_TAKEN = ("pre-condition", "conflicting conditional operation")
_UNMET = 412


class TakenError(Exception):
    """Somebody else wrote the object first."""


class Bucket:
    """Objects below one address, by their names. Blocking; raises what the library raises: `why` puts it into words.

    An object is whole or not there: none of these services shows half of one.
    """

    def __init__(self, at: Remote, filesystem: Any = None) -> None:
        """Raises `JobError` as `filesystem_of` does."""
        self.at = at
        self._fs = filesystem if filesystem is not None else filesystem_of(at)
        self._service = SERVICES[at.scheme]
        self._conditional = True

    def _path(self, name: str) -> str:
        return f"{self.at.path}/{name}"

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        found: bytes = self._fs.cat_file(self._path(name))
        return found

    def read_marked(self, name: str) -> tuple[bytes, str | None] | None:
        """An object, and the mark of its version where there is one; None where there is no such object."""
        try:
            info = self._fs.info(self._path(name))
            if info.get("type") == "directory":
                return None
            return self.read(name), info.get(self._service.mark)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self._fs.pipe_file(self._path(name), data, **self._service.writing)

    def create(self, name: str, data: bytes) -> None:
        """Write an object that is not there yet. Raises `TakenError` where it is.

        Where the service knows no such condition, it writes over whatever there is.
        """
        if not self._conditional:
            return self.write(name, data)
        try:
            self._fs.pipe_file(self._path(name), data, mode="create", **self._service.writing)
        except Exception as error:
            if _is_taken(error):
                raise TakenError from error
            if not _is_unknown(error):
                raise
            self._conditional = False
            self.write(name, data)

    def replace(self, name: str, data: bytes, mark: str | None) -> str | None:
        """Write over the version with this mark, and give the new one's. Raises `TakenError` where it is another's by now.

        Where the service knows no such condition, it writes over whatever there is, and the mark is None.
        """
        mark = mark if self._conditional else None
        try:
            return self._service.replace(self._fs, self._path(name), data, mark)
        except Exception as error:
            if mark is not None and _is_taken(error):
                raise TakenError from error
            if mark is None or not _is_unknown(error):
                raise
        self._conditional = False
        return self.replace(name, data, None)

    def put(self, name: str, file: Path) -> None:
        """Upload a file."""
        self._fs.put_file(str(file), self._path(name), **self._service.writing)

    def remove(self, name: str) -> None:
        """Also where it is not there: two of these services say so, and a removal that was tried again meets it."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))


def _is_taken(error: Exception) -> bool:
    """Whether a condition was not met, by each library's word for it."""
    if isinstance(error, FileExistsError) or getattr(error, "status_code", None) == _UNMET:
        return True
    return any(words in str(error) for words in _TAKEN)


def _is_unknown(error: Exception) -> bool:
    """Whether the service says that it knows no conditions."""
    return getattr(error, "errno", None) == ENOSYS or "NotImplemented" in f"{error!r}"


def filesystem_of(at: Remote) -> Any:
    """Raises `JobError`: 2 where the library is missing, 77 where it finds no account it could use."""
    service = SERVICES[at.scheme]
    for logger in service.loggers:  # they would tell it a second time, and with a traceback
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        return service.filesystem()
    except ImportError:
        raise JobError(ExitCode.USAGE, f"{at.scheme}:// needs {service.library}: pip install 'batchllm[cloud]'") from None
    except Exception as error:
        raise JobError(ExitCode.ACCOUNT, f"{at}: {why(error)}; nothing was sent") from None


def why(error: BaseException) -> str:
    """What went wrong, in a few words and on one line."""
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()).partition(" RequestId:")[0]
    return text[:200] if text and text != "None" else type(error).__name__


def unreachable(at: Remote, error: BaseException) -> JobError:
    """The ending of a command that cannot begin without this address: 77 wants a person, 69 may be tried again."""
    code = ExitCode.ACCOUNT if _is_refused(error) else ExitCode.UNAVAILABLE
    return JobError(code, f"{at}: {why(error)}; nothing was sent")


def _is_refused(error: BaseException) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    codes = {getattr(error, name, None) for name in ("code", "status_code")}
    return bool(kinds & set(_NO_ACCOUNT) or codes & set(_NO_RIGHT)) or str(error).startswith("Forbidden")
