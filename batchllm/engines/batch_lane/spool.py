"""Files of JSON lines that are read by id: what was downloaded, and what is to be sent again. Blocking."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batchllm.strictjson import loads
from batchllm.types import Json


class TornError(ValueError):
    """A file does not end in a whole line of JSON: it did not come through."""


class Spool:
    """The lines of one file by what `id` says of them; where several have the same id, the first counts.

    Holds their places in the file, not the lines. Raises `TornError` where the file is no JSON Lines to its end.
    """

    def __init__(self, path: Path, name: str = "custom_id") -> None:
        self.path = path
        self.others = 0
        """Lines whose id stood there before, or that have none."""
        self._places: dict[str, tuple[int, int]] = {}
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._index(name)
        except BaseException:
            self.close()
            raise

    def _index(self, name: str) -> None:
        at = 0
        with self.path.open("rb") as file:
            for raw in file:
                value = _parsed(raw)
                known = value.get(name) if value is not None else None
                if isinstance(known, str) and known not in self._places:
                    self._places[known] = (at, len(raw))
                elif raw.strip():
                    self.others += 1
                at += len(raw)
        if at and value is None and raw.strip():  # a gateway's blank or strange line in between does no harm
            raise TornError(f"{self.path.name} breaks off in its last line")

    def __contains__(self, known: object) -> bool:
        return known in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def get(self, known: str) -> Json | None:
        """The line with this id; None if there is none."""
        place = self._places.get(known)
        if place is None:
            return None
        value: Any = loads(os.pread(self._fd, place[1], place[0]))
        return dict(value)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _parsed(raw: bytes) -> Json | None:
    try:
        value = loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
