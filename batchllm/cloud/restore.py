"""A run that another machine began, made whole here: its segments become the local folder's journal again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import orjson

from batchllm.cloud import listing as listings
from batchllm.cloud.address import Remote
from batchllm.cloud.bucket import Bucket, unreachable
from batchllm.cloud.listing import Listing, Segment, digest, listing_of
from batchllm.errors import ExitCode, JobError
from batchllm.journal.fresh import move_aside
from batchllm.journal.storage import FOLDER_MODE, Storage, cannot_write, make_folder, whole_file, write_whole

OWN = ".shipped.json"
"""In the local folder: where it is shipped to, and the name by which it owns what is there."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is at an address: its listing and the mark of that version; `owner` is the name of the local folder. `fresh`: what is
    there is another run, to be kept aside."""

    listing: Listing | None
    mark: str | None
    owner: str
    fresh: bool = False


def settled(bucket: Bucket, folder: Path, storage: Storage, *, fresh: bool, tell: Callable[[str], None]) -> Known:
    """Bring the local folder and the address together, before anything is sent. Blocking.

    An empty folder gets what is there; a folder that shipped it goes on. Where another machine went on meanwhile, what it
    came to is fetched, and what this folder had not shipped yet is put behind it; the old folder is moved aside.
    Raises `JobError`: 65 where the folder holds another run or what is there is damaged; 69 or 77 where it cannot be read.
    """
    listing, mark = listing_at(bucket)
    if fresh:
        return Known(listing, mark, uuid4().hex[:8], fresh=True)
    owner = _owner(folder, bucket.at)
    if not _holds_a_run(folder):
        owner = owner or uuid4().hex[:8]
        if listing is not None:
            tell(fetch(bucket, listing, folder, storage, owner))
    elif listing is not None and listing.owner != owner:
        if owner is None:
            raise JobError(
                ExitCode.BAD_DATA,
                f"{folder} holds a run that never was at {bucket.at}, and there is another that {listing.host} shipped at "
                f"{listing.at}; move {folder} aside to go on with that, or name another -o; nothing was sent",
            )
        tell(fetch(bucket, listing, folder, storage, owner))
    return Known(listing, mark, owner or uuid4().hex[:8])


def listing_at(bucket: Bucket) -> tuple[Listing | None, str | None]:
    """The listing and the mark of its version. Raises `JobError` (65, 69, 77)."""
    try:
        found = bucket.read_marked(listings.NAME)
    except Exception as error:
        raise unreachable(bucket.at, error) from None
    if found is None:
        return None, None
    try:
        return listing_of(found[0]), found[1]
    except ValueError as error:
        raise JobError(ExitCode.BAD_DATA, f"{bucket.at}/{listings.NAME}: {error}; nothing was sent") from None


def fetch(bucket: Bucket, listing: Listing, folder: Path, storage: Storage, owner: str) -> str:
    """Build the folder beside its place and move it there as a whole: it is complete or not there. Says what was fetched."""
    unshipped = 0
    building = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.fetched")
    try:
        make_folder(storage, folder.parent)
        building.mkdir(FOLDER_MODE)
        for file, segments in listing.files.items():
            with whole_file(storage, building / file) as take:
                for segment in segments:
                    take(segment_at(bucket, segment))
                for lines in _unshipped(folder / file, segments):
                    unshipped += len(lines)
                    take(lines)
        write_whole(storage, building / "job.json", listing.job.encode())
        write_own(storage, building, bucket.at, owner)
        move_aside(folder, storage)
        storage.replace(building, folder)
        storage.fsync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    shipped = sum(listing.shipped(file) for file in listing.files)
    own = f", and {unshipped:,} bytes of its own that were not shipped yet" if unshipped else ""
    return f"{folder}: {shipped:,} bytes of a run that {listing.host} shipped to {bucket.at} until {listing.at}{own}"


def _unshipped(path: Path, segments: tuple[Segment, ...]) -> Iterator[bytes]:
    """What the old file holds behind the segments that it begins with: answers that were paid for."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        at = 0
        for segment in segments:
            if digest(file.read(segment.bytes)) != segment.sha256:
                break
            at += segment.bytes
        file.seek(at)
        for line in file:
            if line.endswith(b"\n"):
                yield line


class MissingError(JobError):
    """A segment that the listing names is not there."""


def segment_at(bucket: Bucket, segment: Segment) -> bytes:
    """The segment, which is what was shipped. Raises `JobError` (65, 69, 77)."""
    try:
        data = bucket.read(segment.name)
    except FileNotFoundError:
        raise MissingError(ExitCode.BAD_DATA, f"{bucket.at}/{segment.name} is not there; nothing was sent") from None
    except Exception as error:
        raise unreachable(bucket.at, error) from None
    if len(data) != segment.bytes or digest(data) != segment.sha256:
        raise JobError(ExitCode.BAD_DATA, f"{bucket.at}/{segment.name} is not what was shipped; nothing was sent")
    return data


def _holds_a_run(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob("*.jsonl"))


def _owner(folder: Path, at: Remote) -> str | None:
    """The name by which this folder ships to this address; None where it never did."""
    try:
        found = orjson.loads((folder / OWN).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(found, dict) or found.get("to") != str(at):
        return None
    owner = found.get("owner")
    return owner if isinstance(owner, str) else None


def write_own(storage: Storage, folder: Path, at: Remote, owner: str) -> None:
    """Remember where this folder is shipped to."""
    write_whole(storage, folder / OWN, orjson.dumps({"to": str(at), "owner": owner, "pid": os.getpid()}) + b"\n")
