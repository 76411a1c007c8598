"""A run's settings on their way to another machine: with the files they name, without the secrets.

The secrets (values of environment variables) travel apart; a file that stands there with the same content is used in its
place, so that a schema's module finds what it imports.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.settings import Settings

_HERE_ONLY = ("webhook", "health_url", "on_finish", "metrics_file", "engine", "ray_address", "workers", "tokenizer")
"""What concerns the run as a whole, and no single request."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """Settings of a run, the address its requests go to if it is not theirs, and the files they name, by absolute path."""

    settings: Settings
    base_url: str | None
    files: Mapping[str, bytes] = field(repr=False)

    def unpacked(self) -> Settings:
        """The settings with the paths their files have here. Blocking."""
        paths = {}
        for name, content in self.files.items():
            paths[name] = name if _same(Path(name), content) else str(_written(Path(name).name, content))
        return _renamed(self.settings, paths)


def shipped(settings: Settings, base_url: str | None) -> Shipped:
    """Blocking. Raises `JobError` (2) for a file that cannot be read."""
    absolute = _renamed(settings, {name: str(Path(name).resolve()) for name in _files(settings)})
    files = {name: _read(name) for name in _files(absolute)}
    defaults = {name: Settings.model_fields[name].get_default() for name in _HERE_ONLY if name in Settings.model_fields}
    root = None if settings.media_root is None else str(Path(settings.media_root).absolute())
    return Shipped(absolute.model_copy(update={**defaults, "media_root": root}), base_url, files)


def secrets(settings: Settings, key_env: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables the endpoint's keys stand in, and no others."""
    names = (*settings.key_variables, *key_env)
    return {name: environment[name] for name in names if environment.get(name)}


def _files(settings: Settings) -> list[str]:
    specs = [spec for spec in (settings.schema_, *settings.schemas.values()) if spec]
    return [_path(spec) for spec in specs] + ([settings.ca_file] if settings.ca_file else [])


def _path(spec: str) -> str:
    """The file of `FILE.json` or `FILE.py:Model`."""
    file, colon, _ = spec.rpartition(":")
    return file if colon and file.endswith(".py") else spec


def _renamed(settings: Settings, paths: Mapping[str, str]) -> Settings:
    def spec(value: str) -> str:
        path = _path(value)
        return paths.get(path, path) + value[len(path) :]

    return settings.model_copy(
        update={
            "schema_": settings.schema_ and spec(settings.schema_),
            "schemas": {name: spec(value) for name, value in settings.schemas.items()},
            "ca_file": settings.ca_file and paths.get(settings.ca_file, settings.ca_file),
        }
    )


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise JobError(ExitCode.USAGE, f"{name} cannot be read: {error.strerror or error}") from None


def _same(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _written(name: str, content: bytes) -> Path:
    """A copy in a folder of its own, which lasts as long as this process."""
    folder = tempfile.mkdtemp(prefix="batchllm-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / name
    path.write_bytes(content)
    return path
