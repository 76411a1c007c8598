"""What the settings say of a server that is to be started: its command, its habits, what of our environment it gets. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from batchllm.errors import ExitCode, JobError
from batchllm.providers import Provider, names, provider
from batchllm.settings import LOOPBACK, Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be started, as the settings say it. `command` still holds `{port}`.

    `base_url` is where it will answer; None: at a free port of the loopback.
    """

    command: tuple[str, ...]
    timeout_s: float
    base_url: str | None = None

    @property
    def text(self) -> str:
        """The command as one line that is the same however its blanks were set: part of a run's fingerprint."""
        return shlex.join(self.command)

    @property
    def habits(self) -> str | None:
        """The provider whose server this looks like, by the name of the program or module."""
        known = {program: name for name in names() for program in provider(name).programs}
        words = (part for word in self.command for part in (Path(word).name, word.partition(".")[0]))
        return next((known[word] for word in words if word in known), None)


def plan(settings: Settings) -> Plan | None:
    """The server the settings start: `serve`, or `[providers.NAME.serve]` of the chosen one. Raises `JobError` (2)."""
    where, command, timeout_s = "serve", settings.serve, settings.serve_timeout
    base_url: Any = settings.base_url
    row = settings.providers.get(settings.provider or "", {})
    if command is None and row.get("serve") is not None and base_url is None:
        where, base_url = f"[providers.{settings.provider}.serve]", row.get("base_url")
        command, timeout_s = _row(row["serve"], where, timeout_s)
    if command is None:
        return None
    words = _words(command, where)
    if base_url is not None and not isinstance(base_url, str):
        raise JobError(ExitCode.USAGE, f"{where} starts one server, but base_url names several addresses")
    if base_url is None and not any("{port}" in word for word in words):
        raise JobError(ExitCode.USAGE, f"{where} has to hold {{port}}, as in: vllm serve MODEL --port {{port}}")
    address = urlsplit(str(base_url or ""))
    if base_url is not None and (address.hostname not in LOOPBACK or address.scheme != "http"):
        raise JobError(ExitCode.USAGE, f"{where} starts a server on this machine, but base_url is no http://localhost address")
    return Plan(words, timeout_s, base_url)


def without_serve(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of [providers] as `provider_from` reads it."""
    return {key: value for key, value in row.items() if key != "serve"}


def _row(row: Any, where: str, timeout_s: float) -> tuple[str, float]:
    table = {"command": row} if isinstance(row, str) else row
    if not isinstance(table, dict) or not isinstance(table.get("command"), str) or table.keys() - {"command", "timeout"}:
        raise JobError(ExitCode.USAGE, f'{where} needs command = "…", and may have timeout = SECONDS')
    given = table.get("timeout", timeout_s)
    if isinstance(given, bool) or not isinstance(given, int | float) or given <= 0:
        raise JobError(ExitCode.USAGE, f"{where}: timeout has to be a number of seconds above 0")
    return table["command"], float(given)


def _words(command: str, where: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise JobError(ExitCode.USAGE, f"{where}: {str(error).lower()}") from None
    if not words:
        raise JobError(ExitCode.USAGE, f"{where} names no command")
    if any(word.startswith(("--api-key", "--api_key")) for word in words):
        raise JobError(
            ExitCode.USAGE, f"{where}: a key on a command line can be read by everybody on this machine; "
            "let the server read it from its own environment variable"
        )  # fmt: skip
    return words


def provider_of(started: Plan) -> Provider:
    """The habits of a server nobody gave a name: by its command, else nobody's, and no key is sent to it."""
    return provider(started.habits) if started.habits else replace(provider("custom"), key_env=())


def environment_for(settings: Settings, started: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """Our environment without any key of ours. A local provider's own variable stays: its server may ask for that key."""
    name = settings.provider or started.habits
    known = provider(name) if name in names() and name not in settings.providers else None
    keys = {variable for one in names() for variable in provider(one).key_env}
    keys.update(variable for row in settings.providers.values() for variable in _listed(row.get("key_env")))
    keys.update(settings.key_variables)
    keys.difference_update(known.key_env if known is not None and known.local else ())
    return {name: value for name, value in environ.items() if name not in keys and not name.startswith("BATCHLLM_")}


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value or ()]
