"""HTML in which foreign text cannot act: what is not `Markup` is escaped, so that forgetting it is harmless."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\ufeff\ufffe\uffff\ud800-\udfff]")
"""Controls, half surrogate pairs, and the marks that turn the direction of what follows."""
_VOID = frozenset({"meta", "input", "br"})


class Markup(str):
    """HTML that we made ourselves."""

    __slots__ = ()


def escaped(value: object) -> str:
    """Text that stands for itself between tags; what nobody would see is shown as its code."""
    text = str(value)
    if not text.isprintable():
        text = _UNSEEN.sub(_code, text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def quoted(value: object) -> str:
    """Text as a quoted attribute."""
    return escaped(value).replace('"', "&quot;").replace("'", "&#39;")


def size(text: str) -> int:
    """About the bytes that text takes once it is escaped."""
    return len(text.encode("utf-8", "replace")) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def _code(found: re.Match[str]) -> str:
    return "" if found[0] == "\r" else f"\\u{ord(found[0]):04x}"


def el(name: str, /, *children: Any, **attributes: object) -> Markup:
    """One element. A trailing underscore of an attribute's name is dropped, others become hyphens; None leaves one out."""
    opened = f"<{name}{_attributes(attributes)}>"
    if name in _VOID:
        return Markup(opened)
    return Markup(f"{opened}{joined(children)}</{name}>")


def enclosed(name: str, pieces: Iterable[Markup], **attributes: object) -> Iterator[Markup]:
    """One element with many children, piece by piece: they need not be in memory together."""
    yield Markup(f"<{name}{_attributes(attributes)}>")
    yield from pieces
    yield Markup(f"</{name}>")


def joined(children: Iterable[Any]) -> Markup:
    """Children one after the other: `Markup` as it is, None left out, iterables opened, everything else escaped."""
    return Markup("".join(map(_one, children)))


def _one(child: Any) -> str:
    if isinstance(child, Markup):
        return child
    if child is None:
        return ""
    if isinstance(child, str | int | float):
        return escaped(child)
    return joined(child)


def _attributes(attributes: dict[str, object]) -> str:
    made = ""
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        made += f" {name}" if value is True else f' {name}="{quoted(value)}"'
    return made
