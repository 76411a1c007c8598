"""The provider's cache of prompts: beginnings that were read before, in whole blocks, the longest unused forgotten first."""

from collections import OrderedDict
from hashlib import blake2b
from typing import Any

import orjson

BLOCK_TOKENS = 128
"""What OpenAI's cache counts in; others have smaller ones (vLLM: 16)."""
_BYTES_PER_TOKEN = 4
_LEADING = ("model", "tools", "instructions", "messages", "input", "prompt")


class PrefixCache:
    """Holds `capacity` tokens of prompts. A block counts as cached from `ready_s` seconds after it was first sent, which is
    when its prompt has been read: requests sent together do not find each other's."""

    def __init__(self, capacity: int, ready_s: float) -> None:
        self._most = max(1, capacity // BLOCK_TOKENS)
        self._ready_s = ready_s
        self._blocks: OrderedDict[bytes, float] = OrderedDict()

    def look(self, body: dict[str, Any], now: float) -> int:
        """Tokens of this prompt that are read from the cache; from now on it is part of it."""
        found, whole = 0, True
        for block in _blocks(prompt(body)):
            ready = self._blocks.get(block)
            whole = whole and ready is not None and ready <= now
            found += whole
            self._blocks.setdefault(block, now + self._ready_s)
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)
        return found * BLOCK_TOKENS


def prompt(body: dict[str, Any]) -> bytes:
    """What a model reads, in the order it reads it."""
    return orjson.dumps([body.get(name) for name in _LEADING])


def _blocks(text: bytes) -> list[bytes]:
    """A name for each whole block, that depends on everything before it."""
    size = BLOCK_TOKENS * _BYTES_PER_TOKEN
    chain = blake2b(digest_size=16)
    names = []
    for at in range(0, len(text) - size + 1, size):
        chain.update(text[at : at + size])
        names.append(chain.digest())
    return names
