"""The error object of a reply, in every shape seen (H14, Q6), and its words made fit for a record.

error_in      the error of a parsed body, whatever its shape
choice_error  the one inside a choice of an answer that broke off
clean         somebody else's words: no control characters, no keys, capped
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MESSAGE_CHARS = 500
READ_CHARS = 4000
"""Characters of foreign text that are looked at; what stands behind them is nobody's message."""


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error object as the server put it; `names` are all codes, types and reasons in it, in lower case."""

    code: str = ""
    type: str = ""
    message: str = ""
    status: int | None = None
    names: frozenset[str] = frozenset()


_MESSAGE_KEYS = ("message", "msg", "error_message", "error_msg", "errorMessage", "detail", "description")
_NAME_KEYS = ("code", "type", "status", "error_code", "error_type", "reason", "quotaId")
_INNER_KEYS = ("innererror", "inner_error", "details", "metadata", "violations", "error")
_FINE = ("", "0", "200", "ok", "success")


def error_in(body: Any) -> ErrorInfo | None:
    """The error object of a parsed body, whatever its shape; None if there is none."""
    if isinstance(body, list):  # Gemini's compatible endpoint wraps its error in an array
        body = body[0] if body else None
    if not isinstance(body, dict):
        return None
    for key in ("error", "errors", "detail"):
        if found := _first(body.get(key)):
            return _info(found, body)
    if error := choice_error(body.get("choices")):
        return _info(error, {})
    coded = _word(body.get("code", body.get("error_code"))).lower() not in _FINE
    if "error" in (body.get("object"), body.get("type")) or (_said(body) and (coded or "code" not in body)):
        return _info(body, {})
    return None


def _first(value: Any) -> dict[str, Any] | str | None:
    """The error itself: the first of a list, the inner one where an error is wrapped once more."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    return value if value and isinstance(value, dict | str) else None


def choice_error(choices: Any) -> dict[str, Any] | None:
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("error"), dict):
            return choice["error"]  # type: ignore[no-any-return]
        if isinstance(choice, dict) and choice.get("finish_reason") == "error":
            return {"message": "the answer broke off (finish_reason `error`)"}
    return None


def _info(error: dict[str, Any] | str, outer: dict[str, Any]) -> ErrorInfo:
    inner = {"message": error} if isinstance(error, str) else error
    code = _word(inner.get("code")) or _word(outer.get("code"))
    kind = _word(inner.get("type")) or _word(inner.get("status")) or _word(outer.get("error_type"))
    every = (*_names_in(inner, 0), *_names_in({key: outer.get(key) for key in _NAME_KEYS}, 0))
    found = frozenset(name.lower() for name in every if name)
    return ErrorInfo(code, kind, _said(inner), _status_in(inner) or _status_in(outer), found)


def _said(error: dict[str, Any]) -> str:
    found = next((said for key in _MESSAGE_KEYS if (said := _first(error.get(key)))), "")
    said = (_said(found) if isinstance(found, dict) else found)[:READ_CHARS]  # Mistral: one in `message`
    where = error.get("loc")  # FastAPI: where in the request the fault is
    if said and isinstance(where, list):
        said = f"{'.'.join(map(str, where))}: {said}"
    metadata = error.get("metadata")  # OpenRouter: the upstream's own words
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{said}: {raw[:READ_CHARS]}" if isinstance(raw, str) and raw else said


def _names_in(value: Any, depth: int) -> Iterator[str]:
    if depth > 5:
        return
    if isinstance(value, list):
        for item in value[:8]:
            yield from _names_in(item, depth + 1)
    elif isinstance(value, dict):
        yield from (_word(value.get(key)) for key in _NAME_KEYS)
        for key in _INNER_KEYS:
            yield from _names_in(value.get(key), depth + 1)


def _status_in(error: dict[str, Any]) -> int | None:
    for key in ("code", "status", "status_code", "http_status"):
        word = _word(error.get(key))
        if len(word) == 3 and word.isascii() and word.isdigit() and word[0] in "345":
            return int(word)
    return None


def _word(value: Any) -> str:
    return str(value)[:200] if isinstance(value, str | int) and not isinstance(value, bool) else ""


_SECRETS = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ms|r8|nvapi|tgp|fw|ak)[-_][A-Za-z0-9_*.\-]{6,}"  # prefixed, or half masked
    r"|\bAIza[A-Za-z0-9_\-]{10,}|\beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)*"  # Google, JSON web tokens
    r"|\b[0-9a-f]{32}\.[A-Za-z0-9]{8,}"  # Zhipu
    r"|(?<=bearer )\s*[^\s\"',;]+|(?<=basic )[A-Za-z0-9+/=]{8,}"
    r"|(?<=//)[^\s/@]{1,200}(?=@)"  # a login in an address
    r"|((?:key|token|secret|password)\b[^:=\n]{0,20}[:=](?!//)\s?[\"'`]?)[^\s\"'`,;.)]{6,}",
    re.IGNORECASE,
)


def clean(text: str, limit: int = MESSAGE_CHARS) -> str:
    """Somebody else's words on one line: no control characters, nothing like a key, capped."""
    printable = "".join(char if char.isprintable() else " " for char in text[:READ_CHARS])
    hidden = _SECRETS.sub(lambda found: (found[1] or "") + "[hidden]", " ".join(printable.split()))
    return hidden if len(hidden) <= limit else hidden[: limit - 1] + "…"
