"""Which lines are let in under these settings: the rules for local files, and what is refused before it costs anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from batchllm.conversation import History, history_from
from batchllm.errors import ExitCode, JobError
from batchllm.media_files import Media, can_shrink, missing
from batchllm.preflight import Preflight, Terms, settings_findings
from batchllm.providers import Provider, provider, provider_from
from batchllm.settings import Settings
from batchllm.types import Json, Request


def media_rules(settings: Settings, chosen: Provider | None = None) -> Media:
    """The rules for local files."""
    root = None if settings.media_root is None else Path(settings.media_root)
    return Media(root, settings.sizes.media, settings.image_max_px, chosen is not None and chosen.audio_as_url)


def history_of(settings: Settings) -> History:
    """How much of a conversation goes along, where its line does not say. Raises `JobError` (2)."""
    try:
        return history_from(settings.history)
    except ValueError as error:
        raise JobError(ExitCode.USAGE, f"history: {error}") from None


def defaults_of(settings: Settings) -> Json:
    """The body fields that a line leaves out."""
    return dict(settings.body) if settings.model is None else {**settings.body, "model": settings.model}


def preflight_for(settings: Settings, chosen: Provider, mode: str, *, default_schema: bool) -> Preflight:
    """What looks at every line. Raises `JobError` (2) where the settings alone keep every line from working."""
    media = media_rules(settings)
    if media.root is not None and not media.root.is_dir():
        raise JobError(ExitCode.USAGE, f"media_root: {media.root} is no folder")
    if media.image_max_px is not None and not can_shrink():
        raise JobError(ExitCode.USAGE, "image_max_px needs Pillow: pip install 'batchllm[images]'")
    terms = Terms(chosen, settings.stream, mode, default_schema)
    for finding in settings_findings(settings.url, defaults_of(settings), terms):
        if finding.severity == "error":
            raise JobError(ExitCode.USAGE, f"with these settings no line can work: {finding.message}")
    return Preflight(terms, lambda path: missing(media, path))


def recorded_fault(settings: Settings, shaping: Json) -> Callable[[Request], str | None] | None:
    """What made a line a bad one in an earlier run, from what `job.json` says of it; None if that cannot be told."""
    name = str(shaping.get("provider"))
    try:
        row = settings.providers.get(name)
        known = (
            provider(name)
            if row is None
            else provider_from(name, {key: value for key, value in row.items() if "serve" not in key})
        )
    except (KeyError, ValueError):
        return None
    mode = shaping.get("structured") or known.structured
    return Preflight(Terms(known, settings.stream, mode, settings.schema_ is not None)).fault
