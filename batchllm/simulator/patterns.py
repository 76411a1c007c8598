"""Strings that match a regular expression, drawn along its parse tree.

The tree comes from the standard library's own parser (`re._parser`). That module is private but has kept its
shape since Python 2; a parser of our own would be three times this file. Whatever it cannot follow (look-
around, other dialects' escapes) is drawn without that part and then checked, so the worst outcome is None.
"""

import importlib
import re
from functools import lru_cache
from random import Random
from typing import Any

_parser: Any = importlib.import_module("re._parser")
_REPEAT_MORE = 4
_TRIES = 60
_PRINTABLE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:;!?/@#%&+*=()[]{}<>~ "
_CATEGORIES = {
    "CATEGORY_DIGIT": "0123456789",
    "CATEGORY_SPACE": " ",
    "CATEGORY_WORD": _PRINTABLE[:62] + "_",
    "CATEGORY_NOT_DIGIT": _PRINTABLE[:52],
    "CATEGORY_NOT_SPACE": _PRINTABLE[:62],
    "CATEGORY_NOT_WORD": "-.,:;!?/ ",
}


def matching(pattern: str, rng: Random, shortest: int = 0, longest: int | None = None) -> str | None:
    """A string the pattern is found in, of `shortest` to `longest` characters; None where none was met."""
    try:
        tree, check = _parsed(pattern)
    except (re.error, OverflowError, RecursionError):
        return None
    for attempt in range(_TRIES):
        more = _REPEAT_MORE if attempt < _TRIES // 3 else max(_REPEAT_MORE, shortest)
        if attempt >= _TRIES * 2 // 3:
            more = 0 if longest is not None else more * 2
        drawn = _Drawing(rng, more, shortest).sequence(tree)
        if len(drawn) < shortest:
            drawn += "".join(rng.choices(_PRINTABLE[:26], k=shortest - len(drawn)))
        if (longest is None or len(drawn) <= longest) and check.search(drawn):
            return drawn
    return None


@lru_cache(maxsize=256)
def _parsed(pattern: str) -> tuple[Any, re.Pattern[str]]:
    return _parser.parse(pattern), re.compile(pattern)


class _Drawing:
    """One string along the tree; remembers its groups for back references."""

    def __init__(self, rng: Random, more: int, shortest: int) -> None:
        self._rng, self._more, self._shortest = rng, more, shortest
        self._groups: dict[int, str] = {}

    def sequence(self, nodes: Any) -> str:
        return "".join(self._node(str(kind), argument) for kind, argument in nodes)

    def _node(self, kind: str, argument: Any) -> str:
        match kind:
            case "LITERAL":
                return chr(argument)
            case "NOT_LITERAL":
                return self._rng.choice(_PRINTABLE.replace(chr(argument), ""))
            case "ANY":
                return self._rng.choice(_PRINTABLE[:62])
            case "IN":
                return self._one_of(argument)
            case "CATEGORY":
                return self._rng.choice(_CATEGORIES.get(str(argument), _PRINTABLE))
            case "BRANCH":
                return self.sequence(self._rng.choice(argument[1]))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                return self._repeat(*argument)
            case "SUBPATTERN":
                return self._group(argument[0], argument[-1])
            case "ATOMIC_GROUP":
                return self.sequence(argument)
            case "GROUPREF":
                return self._groups.get(argument, "")
            case _:  # anchors and look-around: nothing to draw, the check afterwards decides
                return ""

    def _repeat(self, least: int, most: Any, nodes: Any) -> str:
        top = min(int(most), max(least, min(least, self._shortest)) + self._more)
        low = least if top < self._shortest else max(least, min(top, self._shortest))
        return "".join(self.sequence(nodes) for _ in range(self._rng.randint(low, max(low, top))))

    def _group(self, number: int | None, nodes: Any) -> str:
        drawn = self.sequence(nodes)
        if number is not None:
            self._groups[number] = drawn
        return drawn

    def _one_of(self, members: Any) -> str:
        kinds = [(str(kind), argument) for kind, argument in members]
        if kinds[0][0] == "NEGATE":
            allowed = [c for c in _PRINTABLE if not any(_holds(kind, arg, c) for kind, arg in kinds[1:])]
            return self._rng.choice(allowed) if allowed else "\u00e9"
        kind, argument = self._rng.choice(kinds)
        if kind == "RANGE":
            return chr(self._rng.randint(*argument))
        return self._node(kind, argument)


def _holds(kind: str, argument: Any, character: str) -> bool:
    """Whether a member of a character class holds the character."""
    if kind == "LITERAL":
        return bool(ord(character) == argument)
    if kind == "RANGE":
        return bool(argument[0] <= ord(character) <= argument[1])
    negated = "NOT_" in str(argument)
    known = _CATEGORIES.get(str(argument).replace("NOT_", ""), "")
    return (character in known) != negated
