"""The page as a whole: one file that needs no network, and in which nothing that was asked or answered can act."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from batchllm.reports.html.answers import answers
from batchllm.reports.html.distribution import distribution
from batchllm.reports.html.endpoints import endpoints
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.head import head, title
from batchllm.reports.html.markup import Markup, el, joined, quoted
from batchllm.reports.html.money import bill
from batchllm.reports.html.script import JS
from batchllm.reports.html.style import CSS
from batchllm.reports.html.timeline import timeline
from batchllm.reports.html.told import told
from batchllm.reports.html.troubles import troubles


def run_page(picture: Picture, *, prompts: bool) -> bytes:
    """The report of one run."""
    times = timeline(picture.series)
    spread = [distribution(picture.fold.latency, "Latency"), distribution(picture.fold.ttft, "Time to the first token")]
    sections = [
        head(picture),
        el("section", el("h2", "Over time"), times) if times else None,
        el("section", el("h2", "How long requests took"), el("div", spread, class_="two")) if any(spread) else None,
        el("section", el("h2", "Tokens and cost"), bill(picture)),
        endpoints(picture),
        troubles(picture),
        answers(picture, prompts=prompts),
        told(picture),
    ]
    return document(f"{title(picture)} · batchllm", sections)


def document(name: str, sections: list[Any]) -> bytes:
    """Sections as a whole page. Its policy lets run what we wrote, known by its hash, and nothing else; nothing is loaded."""
    policy = f"default-src 'none'; script-src '{_hash(JS)}'; style-src '{_hash(CSS)}'; base-uri 'none'; form-action 'none'"
    made = joined([
        Markup('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{quoted(policy)}">'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", name),
        Markup(f"<style>{CSS}</style></head>\n<body><main>"),
        *(joined([section, Markup("\n")]) for section in sections if section is not None),
        el("footer", "Made by batchllm out of the run's own files. This page loads nothing and sends nothing."),
        Markup(f"</main><script>{JS}</script></body></html>\n"),
    ])  # fmt: skip
    return made.encode("utf-8", "replace")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
