"""Which lines are let in under these settings: the rules for local files, and what is refused before it costs anything."""

from __future__ import annotations

from pathlib import Path

from batchllm.conversation import History, history_from
from batchllm.errors import ExitCode, JobError
from batchllm.media import Media, can_shrink
from batchllm.preflight import Preflight, Terms, settings_findings
from batchllm.providers import Provider
from batchllm.settings import Settings
from batchllm.types import Json


def media_rules(settings: Settings, provider: Provider | None = None) -> Media:
    """The rules for local files. Raises `JobError` (2) for a folder that is none, or where Pillow is missing."""
    root = None if settings.media_root is None else Path(settings.media_root)
    if root is not None and not root.is_dir():
        raise JobError(ExitCode.USAGE, f"media_root: {root} is no folder")
    if settings.image_max_px is not None and not can_shrink():
        raise JobError(ExitCode.USAGE, "image_max_px needs Pillow: pip install 'batchllm[images]'")
    # Qwen's audio models want sound as a data URL where OpenAI's want bare base64.
    as_url = provider is not None and provider.name.startswith("dashscope")
    return Media(root, settings.sizes.media, settings.image_max_px, as_url)


def history_of(settings: Settings) -> History:
    """How much of a conversation goes along, where its line does not say. Raises `JobError` (2)."""
    try:
        return history_from(settings.history)
    except ValueError as error:
        raise JobError(ExitCode.USAGE, f"history: {error}") from None


def defaults_of(settings: Settings) -> Json:
    """The body fields that a line leaves out."""
    return dict(settings.body) if settings.model is None else {**settings.body, "model": settings.model}


def preflight_for(settings: Settings, provider: Provider, mode: str, *, default_schema: bool) -> Preflight:
    """What looks at every line. Raises `JobError` (2) where the settings alone keep every line from working."""
    terms = Terms(provider, settings.stream, mode, default_schema)
    for finding in settings_findings(settings.url, defaults_of(settings), terms):
        if finding.severity == "error":
            raise JobError(ExitCode.USAGE, f"with these settings no line can work: {finding.message}")
    return Preflight(terms)
