"""What is known to fail, or to cost money for nothing, told before the first request. Pure.

    thinking_needs_stream     thinking is asked of a provider that thinks on streams only
    json_excludes_thinking    a JSON mode and thinking stand together where one excludes the other
    json_needs_word           JSON mode without the word "json" in the messages, where that is refused
    thinking_budget           the answer's ceiling is below what thinking alone may use
    stream_options            options for a stream in a request that does not stream
    no_stream                 a stream is asked of an endpoint that answers in one piece
    no_schema                 a schema is asked of an endpoint that generates no text
    one_of_n                  several answers are asked, of which a schema is held to the first only (a warning)
    thinks_by_default         a model that thinks unless told otherwise, without a stream (a warning)
    missing_file              a local file that could not be sent now (a warning: it may be there when it is)

An error in a line makes it a bad line. Where the settings alone break a rule every line would, and the run is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from batchllm.endpoints import endpoint_for
from batchllm.providers import Provider
from batchllm.types import Json, Request
from batchllm.validation import own_format

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that a request breaks; the message says what to do."""

    severity: Severity
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What the settings add to every line: whose habits, `--stream`, and how the default schema (if any) is asked for."""

    provider: Provider
    stream: bool | None = None
    mode: str = "json_object"
    default_schema: bool = False


_NO_TEXT = ("/embeddings", "/moderations", "/rerank", "/score", "/images/generations")


class _View:
    """A request as it will be sent, as far as the rules look at it."""

    def __init__(self, request: Request, terms: Terms) -> None:
        self.body = body = request.body
        self.url, self.terms = request.url, terms
        self.named = request.schema
        self.generates = not request.url.endswith(_NO_TEXT)
        self.own = own_format(request.url, body)
        self.streams = body.get("stream", terms.stream) is True
        self.thinks = _asked_to_think(body)

    @property
    def schema(self) -> bool:
        """Whether the answer is held to a schema."""
        own = isinstance(self.own, Mapping) and self.own.get("type") == "json_schema"
        default = self.terms.default_schema and self.own is None and self.url.endswith(("/chat/completions", "/responses"))
        return own or default or self.named is not None

    @property
    def json_mode(self) -> str | None:
        """json_object or json_schema, where the answer will be asked for in one of these modes."""
        if isinstance(self.own, Mapping):
            kind = self.own.get("type")
            return kind if kind in ("json_object", "json_schema") else None
        return self.terms.mode if self.schema and self.terms.mode in ("json_object", "json_schema") else None


def _asked_to_think(body: Json) -> bool | None:
    """What the request says of thinking; None if nothing."""
    extra = body.get("chat_template_kwargs")
    places: list[Any] = [body.get("enable_thinking")]
    if isinstance(extra, dict):
        places += [extra.get("enable_thinking"), extra.get("thinking")]
    thinking = body.get("thinking")
    if isinstance(thinking, dict):
        places.append({"enabled": True, "disabled": False}.get(str(thinking.get("type"))))
    said = [one for one in places if isinstance(one, bool)]
    return any(said) if said else None


def _thinking_needs_stream(view: _View) -> str | None:
    provider = view.terms.provider
    if not (provider.thinking_needs_stream and view.thinks and view.generates) or view.streams:
        return None
    return f"{provider.name} thinks on streams only: set stream = true (--stream), or enable_thinking = false"


def _json_excludes_thinking(view: _View) -> str | None:
    provider = view.terms.provider
    if not (provider.json_excludes_thinking and view.thinks and view.json_mode):
        return None
    why = f"response_format {view.json_mode}" if view.own is not None else f"the schema, asked for as {view.json_mode},"
    return (
        f"{provider.name} takes no JSON mode together with thinking, and {why} is one: "
        'set enable_thinking = false, or structured = "prompt" instead of it'
    )


def _json_needs_word(view: _View) -> str | None:
    """A schema asked for as json_object brings its own instruction, which has the word in it."""
    own = view.own
    if not view.terms.provider.json_needs_word or not isinstance(own, Mapping) or own.get("type") != "json_object":
        return None
    if "json" in endpoint_for(view.url).prompt_text(view.body).lower():
        return None
    return (
        f'{view.terms.provider.name} refuses JSON mode where no message has the word "json": '
        "say in the prompt or the system message that the answer is JSON"
    )


def _thinking_budget(view: _View) -> str | None:
    budget, ceiling = _thinking_tokens(view.body), _ceiling(view.body)
    if budget is None or ceiling is None or ceiling >= budget or view.thinks is False:
        return None
    return (
        f"thinking may use {budget:,} tokens and the whole answer only {ceiling:,}, so that nothing is left to answer with: "
        "raise max_tokens above thinking_budget"
    )


def _thinking_tokens(body: Json) -> int | None:
    extra, thinking = body.get("chat_template_kwargs"), body.get("thinking")
    places = (
        body.get("thinking_budget"),
        extra.get("thinking_budget") if isinstance(extra, dict) else None,
        thinking.get("budget_tokens") if isinstance(thinking, dict) else None,
    )
    return next((one for one in places if type(one) is int), None)


def _ceiling(body: Json) -> int | None:
    names = ("max_completion_tokens", "max_tokens", "max_output_tokens")
    return next((body[name] for name in names if type(body.get(name)) is int), None)


def _stream_options(view: _View) -> str | None:
    if not view.body.get("stream_options") or view.streams:
        return None
    return "stream_options are refused in a request that does not stream: take them out, or set stream = true"


def _no_stream(view: _View) -> str | None:
    if view.body.get("stream") is not True or endpoint_for(view.url).streams:
        return None
    return f"{view.url} answers in one piece: take stream out"


def _no_schema(view: _View) -> str | None:
    if view.generates or not (view.named or view.json_mode):
        return None
    return f"{view.url} generates no text that could be held to a schema: take the schema out"


def _one_of_n(view: _View) -> str | None:
    asked = view.body.get("n")
    if type(asked) is not int or asked < 2 or not view.schema:
        return None
    return f"of {asked} answers only the first is checked against the schema: ask in {asked} lines to have each one checked"


def _thinks_by_default(view: _View) -> str | None:
    provider, model = view.terms.provider, view.body.get("model")
    if not provider.thinking_needs_stream or view.streams or view.thinks is not None or not view.generates:
        return None
    if not thinks_by_itself(model, provider.thinking_models):
        return None
    fix = "set stream = true, or enable_thinking = false"
    return f"{model} may think by default, which {provider.name} does on streams only: {fix}"


@lru_cache(maxsize=256)
def thinks_by_itself(model: object, pattern: str) -> bool:
    """Whether a model of this name is one of those that think unless told not to."""
    return bool(pattern) and isinstance(model, str) and re.match(pattern, model, re.IGNORECASE) is not None


Rule = Callable[[_View], str | None]
_ERRORS: tuple[Rule, ...] = (
    _thinking_needs_stream, _json_excludes_thinking, _thinking_budget, _stream_options, _no_stream, _no_schema,
    _json_needs_word,
)  # fmt: skip
_WARNINGS: tuple[Rule, ...] = (_one_of_n, _thinks_by_default)
_OF_LINES = frozenset({_json_needs_word, _no_schema})
"""What the settings cannot break alone: it takes the line's own messages or path."""


def findings(request: Request, terms: Terms) -> list[Finding]:
    """Every rule that this request breaks, errors first."""
    view = _View(request, terms)
    return list(_broken(view, "error", _ERRORS)) + list(_broken(view, "warning", _WARNINGS))


def settings_findings(url: str, body: Mapping[str, Any], terms: Terms) -> list[Finding]:
    """The rules that the settings' body breaks by itself, whatever a line adds to it."""
    view = _View(Request(0, "", url, dict(body), ""), terms)
    return list(_broken(view, "error", tuple(rule for rule in _ERRORS if rule not in _OF_LINES)))


def _broken(view: _View, severity: Severity, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    for rule in rules:
        message = rule(view)
        if message is None:
            continue
        mild = rule is _thinking_budget and view.terms.provider.thinking_apart
        yield Finding("warning" if mild else severity, rule.__name__.lstrip("_"), message)
