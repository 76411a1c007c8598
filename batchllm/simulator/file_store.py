"""The files of the simulated Files API, in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import time
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file as it was uploaded or made. `id` is the server's."""

    id: str
    name: str
    purpose: str
    data: bytes
    created: int

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "created_at": self.created,
            "expires_at": None,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class FileStore:
    """Files by id, in the order they came."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}
        self.made = 0

    def add(self, name: str, purpose: str, data: bytes) -> StoredFile:
        self.made += 1
        stored = StoredFile(f"file-{self.made:012d}", name, purpose, data, int(time()))
        self._files[stored.id] = stored
        return stored

    def get(self, name: str) -> StoredFile | None:
        return self._files.get(name)

    def remove(self, name: str) -> bool:
        return self._files.pop(name, None) is not None

    def newest_first(self, purpose: str | None) -> Iterator[StoredFile]:
        return (one for one in reversed(self._files.values()) if purpose in (None, one.purpose))


def page(items: list[dict[str, Any]], after: str | None, limit: int) -> dict[str, Any]:
    """One page of a list, newest first, behind the item `after`."""
    ids = [one["id"] for one in items]
    start = ids.index(after) + 1 if after in ids else 0
    shown = items[start : start + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": start + limit < len(items),
    }
