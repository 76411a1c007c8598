"""A folder in object storage: whole objects, read and written through fsspec, with credentials from where its libraries look."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from batchllm.cloud.address import Remote
from batchllm.errors import ExitCode, JobError

_LIBRARIES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
CONNECT_S, READ_S = 10.0, 60.0
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": {"max_attempts": 1}}},
}
_NO_ACCOUNT = ("NoCredentialsError", "PermissionError", "DefaultCredentialsError", "ClientAuthenticationError")


class TakenError(Exception):
    """Somebody else wrote the object first."""


class Bucket:
    """Objects below one address, by their names. Blocking; raises what the library raises: `why` puts it into words.

    An object is whole or not there: none of these services shows half of one.
    """

    def __init__(self, at: Remote, filesystem: Any = None) -> None:
        """Raises `JobError` (2) where the library is missing."""
        self.at = at
        self._fs = filesystem if filesystem is not None else filesystem_of(at)
        self._conditional = at.scheme == "s3"

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
            return self.read(name), info.get("ETag")
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self._fs.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> None:
        """Write an object that is not there yet. Raises `TakenError` where it is."""
        try:
            self._fs.pipe_file(self._path(name), data, mode="create")
        except FileExistsError as error:
            raise TakenError from error

    def replace(self, name: str, data: bytes, mark: str | None) -> str | None:
        """Write over the version with this mark, and give the new one's. Raises `TakenError` where it is another's by now.

        Where the service knows no such condition, it writes over whatever there is, and the mark is None.
        """
        options = {"IfMatch": mark} if mark is not None and self._conditional else {}
        try:
            done = self._fs.pipe_file(self._path(name), data, **options)
        except Exception as error:
            if options and "pre-condition" in str(error):
                raise TakenError from error
            if options and "NotImplemented" in f"{error!r}":
                self._conditional = False
                return self.replace(name, data, None)
            raise
        return done.get("ETag") if isinstance(done, dict) else None

    def put(self, name: str, file: Path) -> None:
        """Upload a file."""
        self._fs.put_file(str(file), self._path(name))

    def remove(self, name: str) -> None:
        self._fs.rm_file(self._path(name))


def filesystem_of(at: Remote) -> Any:
    """Raises `JobError` (2) where the library is missing."""
    try:
        import_module(_LIBRARIES[at.scheme])
        fsspec = import_module("fsspec")
    except ImportError:
        library = _LIBRARIES[at.scheme]
        raise JobError(ExitCode.USAGE, f"{at.scheme}:// needs {library}: pip install 'batchllm[cloud]'") from None
    options = _OPTIONS.get(at.scheme, {})
    return fsspec.filesystem(at.scheme, use_listings_cache=False, skip_instance_cache=True, **options)


def why(error: BaseException) -> str:
    """What went wrong, in a few words and on one line."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return text[:200] if text and text != "None" else type(error).__name__


def unreachable(at: Remote, error: BaseException) -> JobError:
    """The ending of a command that cannot begin without this address: 77 wants a person, 69 may be tried again."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    code = ExitCode.ACCOUNT if kinds & set(_NO_ACCOUNT) else ExitCode.UNAVAILABLE
    return JobError(code, f"{at}: {why(error)}; nothing was sent")
