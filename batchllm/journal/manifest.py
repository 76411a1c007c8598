"""`job.json`: what was run, so that the same command goes on and another one is refused."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import orjson

from batchllm.errors import ExitCode, JobError
from batchllm.journal.storage import Storage, cannot_write, write_whole
from batchllm.strictjson import canonical, loads
from batchllm.types import Json

NAME = "job.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """The facts of a run. `shaping` are the settings that shape every request; `accepted` the digests of such settings
    whose results count (more than one after `--on-change keep`). Never holds a key.
    """

    job: Json
    shaping: Json
    settings: Json
    accepted: tuple[str, ...]
    version: str
    created: str
    simulated: bool = False

    def write(self, storage: Storage, folder: Path) -> None:
        """Replace the folder's manifest. Raises `JobError` (74) if the disk refuses."""
        data = {
            "format": FORMAT, "version": self.version, "created": self.created, "job": self.job, "simulated": self.simulated,
            "shaping": self.shaping, "accepted": list(self.accepted), "settings": self.settings,
        }  # fmt: skip
        try:
            write_whole(storage, folder / NAME, orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")
        except OSError as error:
            raise cannot_write(folder, error) from None


def shaping_digest(shaping: Json) -> str:
    """Eight hex digits that stand in every record made under these settings."""
    return blake2b(canonical(shaping), digest_size=4).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest; None for a new folder. Raises `JobError` (65) where it is damaged or of another kind."""
    path = folder / NAME
    try:
        data = loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise JobError(ExitCode.BAD_DATA, f"{path}: cannot be read ({error}); use another -o, or --fresh") from None
    try:
        if data["format"] != FORMAT:
            raise JobError(ExitCode.BAD_DATA, f"{path}: written by another version of batchllm; use another -o, or --fresh")
        return Manifest(
            data["job"], data["shaping"], data["settings"], tuple(data["accepted"]), data["version"], data["created"],
            bool(data.get("simulated")),
        )  # fmt: skip
    except (KeyError, TypeError):
        raise JobError(ExitCode.BAD_DATA, f"{path} is not batchllm's; use another -o, or --fresh") from None


def same_fleet(old: Json, new: Json) -> bool:
    """Whether nothing differs but which addresses of one endpoint are named, and at least one of them is still the same."""
    if {**old, "endpoint": None} != {**new, "endpoint": None}:
        return False
    return not _addresses(old).isdisjoint(_addresses(new))


def _addresses(shaping: Json) -> frozenset[str]:
    named = shaping.get("endpoint")
    return frozenset(named if isinstance(named, list) else [str(named)])


def changes(old: Json, new: Json) -> list[str]:
    """The names of shaping settings that differ, with old and new value where they are short."""
    return [
        f"{name} ({_short(old.get(name))} → {_short(new.get(name))})"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _short(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"
