"""The listing of a run on its way: a draft that names what was uploaded, and the version of it that others can see."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from batchllm.cloud import listing as listings
from batchllm.cloud.bucket import Bucket, TakenError
from batchllm.cloud.listing import SHIPPED, Listing, Segment, digest, listing_of
from batchllm.cloud.restore import Known


class Register:
    """`add` uploads a segment into the `draft`, `commit` makes the draft what counts. Blocking; raises what the bucket raises.

    Another run's listing is never written over where the service knows conditions: `TakenError` then.
    """

    def __init__(self, bucket: Bucket, known: Known, manifest: Path) -> None:
        self._bucket, self._owner, self._manifest = bucket, known.owner, manifest
        self._before = known.listing if known.fresh else None
        begun = None if known.fresh else known.listing
        self.draft = replace(begun or _empty(known.owner), owner=known.owner, series=known.owner, complete=False)
        self.committed = self.draft
        self._mark, self._exists = known.mark, known.listing is not None

    def begin(self) -> None:
        """Be the owner of what is there; a fresh run keeps the listing of the one before."""
        if self._before is not None:
            self._bucket.write(f"run-{self._before.owner}.json", self._before.to_bytes())
        self.commit()

    @property
    def has_news(self) -> bool:
        """Whether the draft names other segments than what was committed."""
        return self.draft.files != self.committed.files

    def add(self, file: str, data: bytes) -> None:
        """Upload these lines, which follow those before."""
        name = self.draft.next_name(file)
        self._bucket.write(name, data)
        self.draft = self.draft.with_segment(file, Segment(name, len(data), digest(data)))

    def forget(self, file: str) -> None:
        """The file is another than was shipped: begin it anew, under names that were never used."""
        self.draft = replace(self.draft, files={**self.draft.files, file: ()}, series=f"{self._owner}-{uuid4().hex[:8]}")

    def commit(self, *, complete: bool = False) -> None:
        """What the draft names is shipped from now on."""
        made = replace(self.draft, host=socket.gethostname(), at=_now(), job=_text(self._manifest), complete=complete)
        try:
            self._write(made)
        except TakenError:
            self._adopt()  # it may have been this run's own, whose answer was lost
            self._write(made)
        self._exists = True
        self._remove_replaced(made)
        self.draft = self.committed = made

    def _write(self, made: Listing) -> None:
        if self._exists:
            self._mark = self._bucket.replace(listings.NAME, made.to_bytes(), self._mark)
        else:
            self._bucket.create(listings.NAME, made.to_bytes())
            self._mark = (self._bucket.read_marked(listings.NAME) or (b"", None))[1]

    def _adopt(self) -> None:
        found = self._bucket.read_marked(listings.NAME)
        if found is not None and listing_of(found[0]).owner != self._owner:
            raise TakenError
        self._mark, self._exists = None if found is None else found[1], found is not None

    def _remove_replaced(self, made: Listing) -> None:
        """Segments of a file that was rewritten, once its new ones are listed."""
        kept = {one.name for segments in made.files.values() for one in segments}
        for file in SHIPPED:
            for one in self.committed.files.get(file, ()):
                if one.name not in kept:
                    with suppress(Exception):  # what is left there costs a little room
                        self._bucket.remove(one.name)


def _empty(owner: str) -> Listing:
    return Listing(owner, owner, socket.gethostname(), _now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
