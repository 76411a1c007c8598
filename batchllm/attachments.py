"""What of a request is no text: images, sound, video and files, and what they may be billed as. Pure.

Nobody can tell the tokens of a picture from its bytes, and each provider counts in its own way. So there are two figures: a
rough one for estimates, and a high one for budgets. Sources: OpenAI, "Images and vision" (85 tokens at low detail, 765 for
1024 x 1024 at high detail; gpt-4o-mini bills 2,833 + 5,667 for each of at most 8 tiles, 48,169); Gemini API, "Understand
and count tokens" (258 a tile, video 263 a second, sound 32 a second); Qwen2.5-VL model card (at most 16,384 an image).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from batchllm.types import Json

Kind = Literal["image", "audio", "video", "file"]

_KINDS: dict[str, Kind] = {
    "image_url": "image", "input_image": "image", "image": "image",
    "input_audio": "audio", "audio_url": "audio", "audio": "audio",
    "video_url": "video", "input_video": "video", "video": "video",
    "file": "file", "input_file": "file",
}  # fmt: skip

ROUGH: dict[Kind, float] = {"image": 800, "audio": 600, "video": 10_000, "file": 5_000}
MOST: dict[Kind, float] = {"image": 50_000, "audio": 120_000, "video": 1_000_000, "file": 500_000}
LOW_DETAIL = 85
SHORT = 2048
"""Characters up to which a value is a name of a file or an address, and says nothing of the size of what it names."""
CHARACTERS_PER_TOKEN = 1600
"""Base64 of sound and files, by what a token takes of it at common rates."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One part of a message that is no text. `written` is how many characters it takes in the request: a name, or the data."""

    kind: Kind
    written: int
    low: bool = False

    @property
    def rough(self) -> float:
        """About how many tokens it is billed as."""
        if self.kind == "image":
            return LOW_DETAIL if self.low else ROUGH["image"]
        if self.written <= SHORT or self.kind == "video":
            return ROUGH[self.kind]
        return self.written / CHARACTERS_PER_TOKEN

    @property
    def most(self) -> float:
        """How many tokens it is hardly ever billed above; data that stands in the request never above its characters."""
        return MOST[self.kind] if self.written <= SHORT or self.kind == "image" else min(MOST[self.kind], self.written)


def attachments(body: Json) -> Iterator[Attachment]:
    """Every part of the messages that is no text."""
    for field in ("messages", "input"):
        messages = body.get(field)
        for message in messages if isinstance(messages, list) else ():
            parts = message.get("content") if isinstance(message, dict) else None
            for part in parts if isinstance(parts, list) else ():
                kind = _KINDS.get(str(part.get("type"))) if isinstance(part, dict) else None
                if kind is not None:
                    written, low = _written(part)
                    yield Attachment(kind, written, low)


def _written(part: Json) -> tuple[int, bool]:
    """The characters of the longest text in a part, and whether it asks for low detail."""
    longest, low = 0, part.get("detail") == "low"
    for value in part.values():
        inner: list[Any] = list(value.values()) if isinstance(value, dict) else [value]
        longest = max([longest, *(len(text) for text in inner if isinstance(text, str))])
        low = low or (isinstance(value, dict) and value.get("detail") == "low")
    return longest, low
