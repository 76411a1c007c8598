"""Where the control socket of an output folder is: in the folder, or where its path is too long, in a private place."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import tempfile
from hashlib import blake2b
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.strictjson import dumps, loads

NAME = ".ctl.sock"
POINTER = ".ctl.json"
"""Says where the socket is when it is not in the folder."""
LONGEST = 100
"""Bytes a socket's path may have: 108 on Linux, 104 on macOS, with the zero at its end."""


def bind(server: socket.socket, folder: Path) -> Path:
    """Bind to the folder's address, for its owner alone; where that is. Whoever calls holds the folder's lock, so a socket
    that is already there is a dead run's. Raises OSError where nothing can be bound."""
    inside = folder.absolute() / NAME
    if len(os.fsencode(inside)) <= LONGEST:
        with contextlib.suppress(OSError):  # a file system without sockets
            return _bind(server, inside)
    outside = _private_place() / f"{blake2b(os.fsencode(folder.resolve()), digest_size=10).hexdigest()}.sock"
    _bind(server, outside)
    (folder / POINTER).write_bytes(dumps({"socket": str(outside)}) + b"\n")
    return outside


def release(path: Path, folder: Path) -> None:
    """Take the address away again."""
    for one in (path, folder / POINTER):
        with contextlib.suppress(OSError):
            one.unlink()


def connect(folder: Path, timeout_s: float) -> socket.socket | None:
    """A connection to the run that is at work in the folder; None if none answers. Raises `JobError` (77) where it is
    somebody else's."""
    for path in _known(folder):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            if not is_ours(connection):
                raise JobError(ExitCode.ACCOUNT, f"{folder}: the run there is another user's; only its owner may control it")
            return connection
        except PermissionError:
            connection.close()
            raise JobError(
                ExitCode.ACCOUNT, f"{folder}: the run there is another user's; only its owner may control it"
            ) from None
        except OSError:
            connection.close()
        except BaseException:
            connection.close()
            raise
    return None


def is_ours(connection: socket.socket) -> bool:
    """Whether the other side is run by the same user, or by root. True where the system does not tell: then the socket's
    mode has to do."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return uid in (os.geteuid(), 0)


def _known(folder: Path) -> list[Path]:
    inside = folder.absolute() / NAME
    found = [inside] if len(os.fsencode(inside)) <= LONGEST else []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found.append(Path(str(loads((folder / POINTER).read_bytes())["socket"])))
    return found


def _bind(server: socket.socket, path: Path) -> Path:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    server.bind(str(path))
    path.chmod(0o600)  # nobody can connect before `listen`
    return path


def _private_place() -> Path:
    """A folder that only this user can enter. Raises PermissionError where another user made one of its name."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = Path(runtime) / "batchllm" if runtime else Path(tempfile.gettempdir()) / f"batchllm-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{place} is not private")
    return place
