"""Numbers for people: tokens, money, durations, shares."""

from __future__ import annotations

from datetime import datetime

NONE = "–"


def count(value: float | None) -> str:
    """1,234 · 45,678 · 1.23 M; a dash for what nobody told."""
    if value is None:
        return NONE
    if abs(value) < 1_000_000:
        return f"{round(value):,}"
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return NONE


def counted(number: int, noun: str) -> str:
    """1 line · 2 lines."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def money(dollars: float | None) -> str:
    """Two places from a dollar on, else three significant ones."""
    if dollars is None:
        return NONE
    if dollars == 0:
        return "$0"
    if abs(dollars) >= 1:
        return f"${dollars:,.2f}"
    return f"${dollars:.3g}" if abs(dollars) >= 1e-4 else f"${dollars:.1e}"


def duration(seconds: float | None) -> str:
    """35 ms · 1.83 s · 41 s · 7 min 14 s · 3 h 05 min · 2 d 4 h."""
    if seconds is None:
        return NONE
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 10:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def rate(per_second: float | None) -> str:
    """Per second with three places that count; a slow one per minute or hour."""
    if per_second is None:
        return NONE
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if per_second * seconds >= 1 or unit == "h":
            value = per_second * seconds
            return f"{value:,.0f}/{unit}" if value >= 100 else f"{value:.3g}/{unit}"
    return NONE


def share(part: float, whole: float) -> str:
    """A percentage that says 0 % and 100 % only where it is so."""
    if not whole:
        return NONE
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.3g} %"


def moment(iso: str | None) -> str:
    """2026-11-21 12:38 UTC, from an ISO date; anything else as it is."""
    if not iso:
        return NONE
    try:
        at = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{at:%Y-%m-%d %H:%M} {at.tzname() or ''}".rstrip()
