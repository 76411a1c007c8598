"""A provider out of the user's settings: `[providers.NAME]`, checked key by key, inheriting with `like`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, get_args

from batchllm.errors import ErrorCode
from batchllm.providers.provider import Auth, Provider, Structured, ToldLimits, UrlStyle, request_url
from batchllm.refusals import Rule
from batchllm.types import Kind

_NEVER = ("name", "simulated", "more_urls")  # the table's; simulated answers come from the simulator only; base_url's
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"})


def provider_from(name: str, row: Mapping[str, Any]) -> Provider:
    """The provider a settings row describes. A `ValueError` says which key of it is wrong, and why."""
    from batchllm.providers import names, provider  # the table: a row may lean on any of it

    known = [field.name for field in fields(Provider) if field.name not in _NEVER]
    for key in row:
        if key not in known and key != "like":
            near = get_close_matches(key, [*known, "like"], n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"there is no key {key!r}{hint}")
    try:
        start = provider(str(row.get("like", name if name in names() else "custom")))
    except KeyError as error:
        raise ValueError(f"like: {error.args[0]}") from None
    own = {key: _checked(key, value) for key, value in row.items() if key != "like"}
    if "base_url" in own:
        own["base_url"], *more = own["base_url"]
        own["more_urls"] = tuple(more)
    if start.name == "custom":  # no key goes to a host of the user's own unless its variable is named here
        own = {"title": name, "key_env": (), "notes": (), "docs": "", **own}
    made = replace(start, name=name, **own)
    for url in made.base_urls:
        request_url(made, url, "/v1/chat/completions", "model")
    return made


def _checked(key: str, value: Any) -> Any:
    try:
        return _CHECKS[key](value)
    except (ValueError, TypeError, KeyError, re.error) as error:
        raise ValueError(f"{key}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("has to be a text")
    return value


def _urls(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str | list | tuple):
        raise ValueError("has to be a text or a list of texts")
    urls = [one.rstrip("/") for one in _texts(value)]
    if not urls or len(set(urls)) < len(urls):
        raise ValueError("is an empty list, or names an address twice")
    return tuple(urls)


def _pattern(value: Any) -> str:
    return re.compile(_text(value)).pattern


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("has to be true or false")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(_text(item) for item in _many(value))


def _many(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError("has to be a list")
    return list(value)


def _mapping(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("has to be a table of texts")
    return {_text(key): _text(item) for key, item in value.items()}


def _headers(value: Any) -> dict[str, str]:
    headers = _mapping(value)
    for key, item in headers.items():
        if key.lower() in _SECRET_HEADERS:
            raise ValueError(f"{key} would put a key into the settings: name its variable in key_env instead")
        if not key.isascii() or not f"{key}{item}".isprintable():
            raise ValueError(f"{key!r} is no header that can be sent")
    return headers


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("has to be a whole number from 1")
    return value


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"has to be one of {', '.join(choices)}")
        return str(value)

    return check


def _rules(value: Any) -> tuple[Rule, ...]:
    return tuple(_rule(dict(item)) for item in _many(value))


def _rule(row: dict[str, Any]) -> Rule:
    """A rule out of a table: `kind` and `code` by name, statuses and names as lists, words as a pattern."""
    given: dict[str, Any] = {"kind": Kind(row.pop("kind")), "code": ErrorCode(row.pop("code"))}
    makers: dict[str, Callable[[Any], Any]] = {
        "statuses": lambda value: frozenset(int(status) for status in _many(value)),
        "names": lambda value: frozenset(item.lower() for item in _texts(value)),
        "words": lambda value: re.compile(_text(value), re.IGNORECASE),
        "headers": _texts,
        "message": _template,
        "slow_ramp": _flag,
    }
    for key, value in row.items():
        if key not in makers:
            raise ValueError(f"a rule has no key {key!r}")
        given[key] = makers[key](value)
    return Rule(**given)


def _template(value: Any) -> str:
    text = _text(value)
    try:
        text.format(status="", name="", words="", host="")
    except (KeyError, IndexError) as error:
        raise ValueError(f"a message may use {{status}} {{name}} {{words}} {{host}}, not {error}") from None
    return text


_CHECKS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("title", "docs"), _text),
    "base_url": _urls,
    **dict.fromkeys(("key_env", "notes", "programs"), _texts),
    **dict.fromkeys(("stream_usage", "local", "batch", "json_needs_word"), _flag),
    **dict.fromkeys(("thinking_needs_stream", "json_excludes_thinking", "thinking_apart", "audio_as_url"), _flag),
    "thinking_models": _pattern,
    "limits": _one_of(get_args(ToldLimits)),
    "auth": _one_of(get_args(Auth)),
    "url_style": _one_of(get_args(UrlStyle)),
    "structured": _one_of(get_args(Structured)),
    "headers": _headers,
    "query": _mapping,
    "max_concurrency": _count,
    "rules": _rules,
}
