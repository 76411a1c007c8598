"""Cells that a spreadsheet would run (CWE-1236): told from those that only look odd.

A spreadsheet takes a cell for a formula by its first character, and some pass over white space, zero-width characters and
control characters in front of it. Full-width signs count where the locale reads them so.
"""

from __future__ import annotations

import re

_UNSEEN = r"\s\x00-\x1f\x7f-\xa0\u00ad\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufe00-\ufe0f\ufeff"
_FORMULA = re.compile(rf"[{_UNSEEN}]*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?%?")
_FIRST = frozenset("\t\r\n")


def runs(text: str) -> bool:
    """Whether a spreadsheet may take the text for a formula. A number with its sign is a number."""
    if not text:
        return False
    if text[0] in _FIRST:
        return True
    return _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None


def neutral(text: str) -> str:
    """The text as a spreadsheet shows it and never runs it: an apostrophe in front of what it might."""
    return "'" + text if runs(text) else text
