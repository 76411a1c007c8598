"""Deterministic randomness: every draw is a function of the seed and the request, never of the clock."""

from random import Random

_MASK = (1 << 64) - 1
_UNIT = 1.0 / (1 << 64)


def mix(key: int, salt: int) -> int:
    """A new 64-bit key out of a key and a salt (the splitmix64 finaliser: neighbours come out unrelated)."""
    z = (key + 0x9E3779B97F4A7C15 * (salt + 1)) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def key_of(seed: int, digest: bytes) -> int:
    """The 64-bit key of one request: the seed and the SHA-256 of its body."""
    return mix(int.from_bytes(digest[:8], "big"), seed & _MASK)


def unit(key: int) -> float:
    """The key as a number in [0, 1)."""
    return (key >> 11) * (_UNIT * 2048)


def draws(key: int, salt: int = 0) -> Random:
    """A generator of its own for one purpose, so that one more draw here changes nothing elsewhere."""
    return Random(mix(key, salt))
