"""Rows of the fault catalogue that no test id names, and why. `tests/test_rows.py` checks that nothing else is missing."""

from __future__ import annotations

from collections.abc import Mapping

ROWS: tuple[str, ...] = tuple(
    f"{letter}{number}"
    for letter, last in (("H", 37), ("P", 19), ("Q", 11), ("I", 13), ("S", 22), ("X", 20))
    for number in range(1, last + 1)
)

_CRASH = "covered in tests/crash: every call to the disk fails, tears, or is the last one, there"

LEFT_OUT: Mapping[str, str] = {
    **{f"S{number}": _CRASH for number in (*range(1, 9), 16, 17, 18)},
    "S10": "covered in tests/unit/test_journal_rewrites.py: a network folder is recognised and warned of",
    "S21": "core dumps are the system's setting (ulimit -c 0); nothing of ours turns them on",
    "X18": "the caps are rows of their own: H25 and H26 for replies, P14 and I5 for what is parsed",
}
