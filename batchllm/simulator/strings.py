"""Strings for a JSON schema: formats, patterns, and otherwise words out of the prompt."""

import base64
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any
from uuid import UUID

from batchllm.simulator.patterns import matching
from batchllm.simulator.prose import VOCABULARY

_TRIES = 20


def string(schema: Mapping[str, Any], rng: Random, words: Sequence[str]) -> str:
    """A string for the schema's format, pattern, minLength and maxLength (in characters)."""
    shortest = int(schema.get("minLength", 0))
    longest = int(schema["maxLength"]) if "maxLength" in schema else None
    pattern = schema.get("pattern")
    drawn = matching(pattern, rng, shortest, longest) if isinstance(pattern, str) else None
    if drawn is not None:
        return drawn
    if draw := FORMATS.get(str(schema.get("format"))):
        return _fitting(draw, rng, shortest, longest)
    if schema.get("contentEncoding") == "base64":
        return base64.b64encode(phrase(rng, words, shortest, longest).encode()).decode()
    return phrase(rng, words, shortest, longest)


def _fitting(draw: Callable[[Random], str], rng: Random, shortest: int, longest: int | None) -> str:
    """The first of some draws whose length fits; the last one where none does."""
    drawn = draw(rng)
    for _ in range(_TRIES):
        if shortest <= len(drawn) and (longest is None or len(drawn) <= longest):
            break
        drawn = draw(rng)
    return drawn


def phrase(rng: Random, words: Sequence[str], shortest: int, longest: int | None) -> str:
    """One to four neighbouring words of the prompt, or as many as it takes. Never blank at an end."""
    if longest == 0:
        return ""
    pool = words or VOCABULARY
    wanted = max(shortest, 1)
    at, count = rng.randrange(len(pool)), rng.randint(1, 4)
    taken = [pool[(at + i) % len(pool)] for i in range(count)]
    size = sum(map(len, taken)) + len(taken) - 1
    while size < wanted:
        taken.append(pool[(at + len(taken)) % len(pool)])
        size += len(taken[-1]) + 1
    return _cut(" ".join(taken), wanted, longest)


def _cut(text: str, shortest: int, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    cut = text[:longest].rstrip()
    return cut + "x" * (shortest - len(cut))


def _date(rng: Random) -> str:
    return f"{rng.randint(2019, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _time(rng: Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z"


def _date_time(rng: Random) -> str:
    return f"{_date(rng)}T{_time(rng)}"


def _word(rng: Random) -> str:
    return rng.choice(VOCABULARY)


def _email(rng: Random) -> str:
    return f"{_word(rng)}.{_word(rng)}@{_word(rng)}.example"


def _host(rng: Random) -> str:
    return f"{_word(rng)}.example"


def _uri(rng: Random) -> str:
    return f"https://{_word(rng)}.example/{_word(rng)}/{rng.randint(1, 999)}"


def _ipv4(rng: Random) -> str:
    return f"192.0.2.{rng.randint(1, 254)}"


def _ipv6(rng: Random) -> str:
    return f"2001:db8::{rng.randint(1, 0xFFFF):x}"


def _uuid(rng: Random, version: int = 4) -> str:
    return str(UUID(int=rng.getrandbits(128), version=version))


def _duration(rng: Random) -> str:
    return f"P{rng.randint(0, 9)}DT{rng.randint(0, 23)}H{rng.randint(0, 59)}M"


FORMATS: Mapping[str, Callable[[Random], str]] = {
    "date": _date,
    "time": _time,
    "date-time": _date_time,
    "duration": _duration,
    "email": _email,
    "idn-email": _email,
    "name-email": _email,
    "uri": _uri,
    "url": _uri,
    "iri": _uri,
    "uri-reference": _uri,
    "iri-reference": _uri,
    "multi-host-uri": _uri,
    "hostname": _host,
    "idn-hostname": _host,
    "uuid": _uuid,
    "uuid4": _uuid,
    "uuid1": lambda rng: _uuid(rng, 1),
    "uuid3": lambda rng: _uuid(rng, 3),
    "uuid5": lambda rng: _uuid(rng, 5),
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "ipvanyaddress": _ipv4,
    "ipv4network": lambda rng: _ipv4(rng) + "/32",
    "ipv6network": lambda rng: _ipv6(rng) + "/128",
    "ipvanynetwork": lambda rng: _ipv4(rng) + "/32",
    "ipv4interface": lambda rng: _ipv4(rng) + "/24",
    "ipv6interface": lambda rng: _ipv6(rng) + "/64",
    "ipvanyinterface": lambda rng: _ipv4(rng) + "/24",
    "json-pointer": lambda rng: f"/{_word(rng)}/{rng.randint(0, 9)}",
    "relative-json-pointer": lambda rng: f"{rng.randint(0, 3)}/{_word(rng)}",
    "uri-template": lambda rng: f"/{_word(rng)}/{{id}}",
    "regex": lambda rng: f"^{_word(rng)}$",
    "json-string": lambda rng: f'"{_word(rng)}"',
    "byte": lambda rng: base64.b64encode(_word(rng).encode()).decode(),
    "base64url": lambda rng: base64.urlsafe_b64encode(_word(rng).encode()).decode(),
}
"""JSON Schema's formats and those pydantic writes."""
