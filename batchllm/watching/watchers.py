"""Who looks on at a run, out of its settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from batchllm.configuration import ENV_PREFIX, Configuration
from batchllm.errors import ExitCode, JobError
from batchllm.providers import names, provider
from batchllm.settings import Settings
from batchllm.watching import Watcher, Watchers
from batchllm.watching.control import Control
from batchllm.watching.facts import Recent
from batchllm.watching.log import LOGGER, Log
from batchllm.watching.metrics_file import MetricsFile
from batchllm.watching.notices import HealthCheck, Webhook
from batchllm.watching.on_finish import OnFinish
from batchllm.watching.posting import Sender
from batchllm.watching.words import refused

OUR_OWN = ("on_finish", "webhook", "health_url", "metrics_file")
"""Settings that a command after the run must not inherit: a batchllm in it would tell of itself, and run itself again."""


@dataclass(slots=True)
class Watched:
    """The watchers of a run, and what the live view looks at."""

    watchers: Watchers
    recent: Recent = field(default_factory=Recent)


@contextmanager
def watched(configuration: Configuration, job: Path, folder: Path, command: str) -> Iterator[Watched]:
    """Everybody who looks on. A run that is refused before it starts, or dies of a defect, is told as an end too.

    Raises `JobError` (2) for what the settings ask for and is not installed.
    """
    recent = Recent()
    found = Watched(Watchers([recent, *_told(configuration, job, folder, recent)]), recent)
    try:
        yield found
    except BaseException as error:
        if not found.watchers.told_end:
            code, reason = _end(error)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            found.watchers.finished(refused(str(job), str(folder), command, code, reason, at), code)
        raise


def _end(error: BaseException) -> tuple[int, str]:
    if isinstance(error, JobError):
        return int(error.exit_code), str(error)
    if isinstance(error, KeyboardInterrupt):
        return int(ExitCode.SIGINT), "stopped by SIGINT"
    return int(ExitCode.SOFTWARE), f"a defect in batchllm itself ({type(error).__name__})"


def _told(configuration: Configuration, job: Path, folder: Path, recent: Recent) -> Iterator[Watcher]:
    """In the order in which they are told: who is asked by others first, who tells others last."""
    settings = configuration.settings
    sender = Sender(settings.proxy, settings.ca_file)
    yield Control(folder, recent)
    if LOGGER.isEnabledFor(logging.INFO):
        yield Log()
    if settings.metrics_file is not None:
        yield MetricsFile(Path(settings.metrics_file), batch_name(job), recent)
    if settings.otel:
        yield _telemetry(configuration.environment)
    if settings.on_finish is not None:
        yield OnFinish(settings.on_finish, settings.on_finish_timeout, os.environ, secrets(settings, configuration.environment))
    if settings.webhook is not None:
        yield Webhook(settings.webhook.get_secret_value(), sender)
    if settings.health_url is not None:
        yield HealthCheck(settings.health_url.get_secret_value(), sender)


def _telemetry(environment: Mapping[str, str]) -> Watcher:
    try:
        from batchllm.watching.telemetry import telemetry
    except ImportError as error:
        raise JobError(
            ExitCode.USAGE, f"otel needs a package that is not installed ({error.name}): pip install 'batchllm[otel]'"
        ) from None
    return telemetry(environment)


def batch_name(job: Path) -> str:
    """What a job is called in metrics: its file's name without its endings."""
    return job.name.removesuffix(".gz").removesuffix(".jsonl")


def secrets(settings: Settings, environment: Mapping[str, str]) -> frozenset[str]:
    """Variables that a command after the run does not get: every provider's key, and our own settings of this kind."""
    keys = {variable for name in names() for variable in provider(name).key_env}
    for row in settings.providers.values():
        named = row.get("key_env", ())
        keys |= {named} if isinstance(named, str) else set(map(str, named))
    chosen = set(settings.key_variables)
    ours = {ENV_PREFIX + name.upper() for name in OUR_OWN}
    return frozenset(keys | chosen | ours | {name for name in environment if name.upper() in ours})
