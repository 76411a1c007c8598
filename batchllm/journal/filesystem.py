"""What kind of disk a folder is on: locks and fsync mean less on a network file system."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs",
     "fuse.rclone", "fuse.gcsfuse", "lustre", "beegfs", "9p", "ncpfs"}
)  # fmt: skip


def network_warning(folder: Path) -> str | None:
    """A sentence for whoever keeps results on a network file system; None elsewhere, and where nobody can tell."""
    try:
        kind = kind_of(folder.resolve(), MOUNTS.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    if kind not in NETWORK:
        return None
    return (
        f"{folder} is on a network file system ({kind}): whether its lock keeps a second machine out and its fsync "
        "outlasts a power cut is up to the server; a local disk is safer"
    )


def kind_of(folder: Path, mountinfo: str) -> str | None:
    """The type of the file system that an absolute path is on, by the lines of /proc/self/mountinfo (proc(5))."""
    best, kind = -1, None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        mount = Path(_unescaped(fields[4]))
        if len(mount.parts) >= best and folder.is_relative_to(mount):  # of equals the last one lies on top
            best, kind = len(mount.parts), right.split(" ")[0]
    return kind


def _unescaped(path: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path
