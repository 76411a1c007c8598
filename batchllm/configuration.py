"""Where settings come from: files, environment, flags. Reads them, merges them, remembers each one's origin."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.settings import Settings, checked

ENV_PREFIX = "BATCHLLM_"
FACTS_PREFIX = "BATCHLLM_RUN_"
"""What a command of `on_finish` is told of the run it follows: facts, no settings, so that it may be batchllm itself."""
WORKING_FILE = "batchllm.toml"
_TABLES = (
    "body",
    "timeouts",
    "retries",
    "sizes",
    "providers",
    "simulator",
    "prices",
    "schemas",
    "batch",
    "gateway",
    "limits",
    "cloud",
)
_ENDPOINT = ("provider", "base_url", "serve")
_PATHS = ("schema", "media_root", "ca_file", "metrics_file", "tokenizer")


@dataclass(frozen=True, slots=True)
class Configuration:
    """The merged settings of a run and the environment its keys are read from."""

    settings: Settings
    environment: Mapping[str, str] = field(repr=False)
    origin: Mapping[str, str] = field(default_factory=dict)


def load(
    job: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    *,
    working_dir: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Configuration:
    """Merge, later ones winning: defaults, `batchllm.toml`, the job's sidecar, environment (and `.env`), flags.

    Raises `JobError` (exit 2) for an unreadable file, an unknown key or a wrong value.
    """
    folder = working_dir or Path.cwd()
    environment = _with_dotenv(folder, os.environ if environ is None else environ)
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for where, values in (
        (WORKING_FILE, _toml(folder / WORKING_FILE)),
        *([(job.with_suffix(".toml").name, _toml(job.with_suffix(".toml")))] if job else []),
    ):
        _merge(merged, values, origin, where)
    _merge(merged, _from_environment(environment, merged), origin, "the environment")
    _merge(merged, dict(flags or {}), origin, "the command line")
    return Configuration(checked(merged, origin), environment, origin)


def _merge(merged: dict[str, Any], values: Mapping[str, Any], origin: dict[str, str], where: str) -> None:
    for key, value in values.items():
        if key in _TABLES and isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = {**merged[key], **value}
        else:
            merged[key] = value
        origin[key] = where
    # A later layer that names another endpoint inherits nothing of the earlier one.
    if any(name in values for name in _ENDPOINT):
        for name in _ENDPOINT:
            if name not in values:
                merged.pop(name, None)


def _toml(path: Path) -> dict[str, Any]:
    """A settings file's values; paths in it are relative to the file. {} if there is no such file."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise JobError(ExitCode.USAGE, f"{path}: cannot be read: {error.strerror}") from None
    try:
        values = tomllib.loads(raw.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JobError(ExitCode.USAGE, f"{path}: not valid TOML: {error}") from None
    for key in _PATHS:
        if isinstance(values.get(key), str):
            values[key] = str(path.parent / values[key])
    if isinstance(values.get("schemas"), dict):
        values["schemas"] = {name: str(path.parent / str(spec)) for name, spec in values["schemas"].items()}
    return values


def _with_dotenv(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with what a `.env` file adds to it; the file never overrides."""
    file = folder / ".env"
    if not file.is_file():
        return dict(environ)
    from dotenv import dotenv_values  # imported when used: most machines have no .env

    added = {key: value for key, value in dotenv_values(file, interpolate=False).items() if value is not None}
    return {**added, **environ}


def _from_environment(environment: Mapping[str, str], files: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if name.startswith(ENV_PREFIX) and not name.startswith(FACTS_PREFIX) and text:
            values[name[len(ENV_PREFIX) :].lower()] = _scalar(text)
    ambient = environment.get("OPENAI_BASE_URL")
    # Set for the whole login, not for this job: it replaces a base_url or means OpenAI's, but where a file names another
    # provider (the simulator, say) it must not turn that run into a bill. BATCHLLM_BASE_URL is the stronger word.
    unsaid = "base_url" not in values and "provider" not in values
    if ambient and unsaid and "serve" not in files and files.get("provider") in (None, "openai"):
        values["base_url"] = ambient
    return values


def _scalar(text: str) -> Any:
    """An environment variable as TOML would read it where it is a number, a truth value, a table; else as text."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, bool | int | float | dict | list) else text
