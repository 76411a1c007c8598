"""A stand-in for a tokeniser: cheap, deterministic, and the pieces join to the text again."""

import re
from collections.abc import Iterable
from typing import Any

_PIECE = re.compile(r"\s?\S{1,6}|\s")
_BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4


def pieces(text: str) -> list[str]:
    """The text in tokens: a word with the space before it, long words in parts of six characters."""
    return _PIECE.findall(text)


def estimate(text: str) -> int:
    """Prompt tokens of a text: four bytes of UTF-8 each, at least one for a text that is not empty."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def estimate_messages(messages: Iterable[Any]) -> int:
    """Prompt tokens of a chat: its texts and four tokens for the frame of each message."""
    return sum(_TOKENS_PER_MESSAGE + estimate(message_text(message)) for message in messages)


def message_text(message: Any) -> str:
    """The text of one message; of a list of content parts the texts, one per line."""
    content = message.get("content") if isinstance(message, dict) else None
    return content_text(content)


def content_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def last_user_text(messages: Any) -> str:
    """The text of the last user message; empty where there is none."""
    if isinstance(messages, list):
        for message in reversed(messages):
            if isinstance(message, dict) and message.get("role") == "user":
                return message_text(message)
    return ""
