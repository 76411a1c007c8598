"""What a line is beyond a single text prompt: its turns, and the local files it names."""

from __future__ import annotations

from typing import Any

from batchllm.conversation import history_from, opening
from batchllm.media import local_paths
from batchllm.media_files import Media
from batchllm.types import Extras, Json

KEYS = frozenset({"turns", "history"})
"""The keys of a line that are no field of a request, where `turns` is among them."""


def has_media(raw: bytes) -> bool:
    """Whether the line may name local files: cheap, and false for nearly all lines."""
    return b"_url" in raw or b"input_audio" in raw  # image_url, audio_url


def turns_of(values: Json, path: str) -> tuple[str, ...]:
    """The questions of a conversation. Raises `ValueError` with a sentence."""
    turns = values["turns"]
    if path != "/v1/chat/completions":
        raise ValueError(f"'turns' are asked at /v1/chat/completions only, not at {path}")
    if type(turns) is not list or not turns or not all(type(one) is str and one for one in turns):
        raise ValueError("'turns' must be a list of texts that are not empty")
    if "prompt" in values:
        raise ValueError("'turns' and 'prompt' stand together; keep one")
    return tuple(turns)


def first_messages(values: Json, turns: tuple[str, ...]) -> list[Json]:
    """The messages of the first turn."""
    system, before = values.get("system"), values.get("messages", [])
    if system is not None and type(system) is not str:
        raise ValueError("'system' must be a text")
    if type(before) is not list:
        raise ValueError("'messages' must be a list")
    return [*opening(before, system), {"role": "user", "content": turns[0]}]


def extras_of(values: Json, body: Json, turns: tuple[str, ...], media: Media | None) -> Extras | None:
    """What is beyond a prompt in this line, None if nothing is. `media` is None for a line that names no files.

    Raises `ValueError` (and so `MediaError`) with a sentence.
    """
    paths = () if media is None else local_paths(body, media)
    if not turns:
        return Extras(paths) if paths else None
    history: Any = values.get("history")
    history_from(history)
    return Extras(paths, turns, history)
