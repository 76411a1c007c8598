"""The page as a whole: one file that needs no network, and in which nothing that was asked or answered can act."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain

from batchllm.reports.html.answers import answers
from batchllm.reports.html.distribution import distribution
from batchllm.reports.html.endpoints import endpoints
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.head import head, title
from batchllm.reports.html.markup import Markup, el, quoted
from batchllm.reports.html.money import bill
from batchllm.reports.html.script import JS
from batchllm.reports.html.style import CSS
from batchllm.reports.html.timeline import timeline
from batchllm.reports.html.told import told
from batchllm.reports.html.troubles import troubles
from batchllm.reports.html.workers import workers


def run_page(picture: Picture, *, prompts: bool) -> Iterator[bytes]:
    """The report of one run, in pieces."""
    times = timeline(picture.series)
    spread = [distribution(picture.fold.latency, "Latency"), distribution(picture.fold.ttft, "Time to the first token")]
    sections: list[Markup | Iterable[Markup] | None] = [
        head(picture),
        el("section", el("h2", "Over time"), times) if times else None,
        el("section", el("h2", "How long requests took"), el("div", spread, class_="two")) if any(spread) else None,
        el("section", el("h2", "Tokens and cost"), bill(picture)),
        endpoints(picture),
        workers(picture),
        troubles(picture),
        answers(picture, prompts=prompts),
        told(picture),
    ]
    return document(f"{title(picture)} · batchllm", sections)


def document(name: str, sections: Iterable[Markup | Iterable[Markup] | None]) -> Iterator[bytes]:
    """Sections as a whole page. Its policy lets run what we wrote, known by its hash, and nothing else; nothing is loaded.

    It comes in pieces, since a page has some megabytes and the process that makes it hardly more.
    """
    policy = f"default-src 'none'; script-src '{_hash(JS)}'; style-src '{_hash(CSS)}'; base-uri 'none'; form-action 'none'"
    opening = (
        Markup('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{quoted(policy)}">'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", name),
        Markup(f"<style>{CSS}</style></head>\n<body><main>"),
    )
    closing = (
        el("footer", "Made by batchllm out of the run's own files. This page loads nothing and sends nothing."),
        Markup(f"</main><script>{JS}</script></body></html>\n"),
    )
    for piece in chain(opening, _pieces(sections), closing):
        yield piece.encode("utf-8", "replace")


def _pieces(sections: Iterable[Markup | Iterable[Markup] | None]) -> Iterator[Markup]:
    for section in sections:
        if section is not None:
            yield from (section,) if isinstance(section, Markup) else section
            yield Markup("\n")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
