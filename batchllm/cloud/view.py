"""What a run has shipped so far, as a local folder to read. Nothing is written there, and no lease is taken.

The folder is another than the one a run would work in: looking at a run changes nothing for it. Looked at again, it gets
only the segments that are new.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batchllm.cloud.bucket import Bucket, unreachable
from batchllm.cloud.copies import CACHE
from batchllm.cloud.lease import at_work
from batchllm.cloud.listing import SHIPPED, Listing, Segment, listing_of
from batchllm.cloud.restore import MissingError, listing_at, segment_at
from batchllm.errors import ExitCode, JobError
from batchllm.journal.lock import FolderLock
from batchllm.journal.storage import FOLDER_MODE, Storage, cannot_write

NOTE = ".listing.json"
"""The listing that the folder holds."""
DERIVED = ("errors.jsonl", "summary.json")
"""Of a run that ended, and is not at work again: else they are an earlier run's."""
TRIES = 3


@dataclass(frozen=True, slots=True)
class View:
    """`at_work` says who ships there now, or is None."""

    folder: Path
    listing: Listing
    at_work: str | None


def view(bucket: Bucket) -> View:
    """Fetch what the listing names and is not here yet. Blocking.

    Raises `JobError`: 65 where no run was shipped there, or what is there is damaged; 69 or 77 where it cannot be read;
    74 where it cannot be written here; 75 where another command is fetching it.
    """
    folder = CACHE / bucket.at.mark / bucket.at.name
    try:
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        lock = _locked(folder)
        try:
            listing = _fetched(bucket, folder)
        finally:
            lock.close()
    except OSError as error:
        raise cannot_write(folder, error) from None
    try:
        return View(folder, listing, at_work(bucket, time.time()))
    except Exception as error:
        raise unreachable(bucket.at, error) from None


def _locked(folder: Path) -> FolderLock:
    try:
        return FolderLock(Storage(), folder.parent)
    except JobError:
        raise JobError(ExitCode.TRY_LATER, f"{folder} is being fetched by another command; try again") from None


def _fetched(bucket: Bucket, folder: Path) -> Listing:
    listing = _listing(bucket)
    for tries_left in reversed(range(TRIES)):
        try:
            _fill(bucket, folder, listing)
            return listing
        except MissingError:  # a run that rewrote its results has replaced them meanwhile
            before, listing = listing, _listing(bucket)
            if not tries_left or listing == before:
                raise
    raise AssertionError


def _listing(bucket: Bucket) -> Listing:
    listing, _ = listing_at(bucket)
    if listing is None:
        raise JobError(ExitCode.BAD_DATA, f"{bucket.at}: no run was shipped there: there is no run.json")
    return listing


def _fill(bucket: Bucket, folder: Path, listing: Listing) -> None:
    held = _held(folder, listing)
    if held == listing:
        return
    if held is None:
        (folder / NOTE).unlink(missing_ok=True)  # until all is here, nothing is
    for file in SHIPPED:
        _extend(bucket, folder / file, listing.files.get(file, ()), () if held is None else held.files.get(file, ()))
    (folder / "job.json").write_text(listing.job, encoding="utf-8")
    for name in DERIVED:
        _derive(bucket, folder / name, wanted=listing.complete)
    with suppress(OSError, ValueError):  # `status` tells by it when the last answers came
        shipped_at = datetime.fromisoformat(listing.at).timestamp()
        os.utime(folder / "results.jsonl", (shipped_at, shipped_at))
    (folder / NOTE).write_bytes(listing.to_bytes())


def _held(folder: Path, listing: Listing) -> Listing | None:
    """What the folder holds, if the listing goes on from there."""
    try:
        held = listing_of((folder / NOTE).read_bytes())
        whole = all((folder / file).stat().st_size >= held.shipped(file) for file in held.files)
    except (OSError, ValueError):
        return None
    goes_on = all(listing.files.get(file, ())[: len(segments)] == segments for file, segments in held.files.items())
    return held if whole and goes_on else None


def _extend(bucket: Bucket, path: Path, segments: tuple[Segment, ...], held: tuple[Segment, ...]) -> None:
    """Put the segments behind those that are held; without any, make the file anew and then put it in its place."""
    target = path if held else path.with_name(f".{path.name}.new")
    with target.open("r+b" if held else "wb") as file:
        file.seek(sum(one.bytes for one in held))
        file.truncate()
        for one in segments[len(held) :]:
            file.write(segment_at(bucket, one))
    if target != path:
        target.replace(path)


def _derive(bucket: Bucket, path: Path, *, wanted: bool) -> None:
    path.unlink(missing_ok=True)
    if not wanted:
        return
    try:
        data = bucket.read(path.name)
    except FileNotFoundError:
        return
    except Exception as error:
        raise unreachable(bucket.at, error) from None
    path.write_bytes(data)
