"""The table of answers, to browse and to filter: every line of a small job, a fair choice of a large one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from batchllm.reports.html.figures import count, duration, money
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.markup import Markup, el, enclosed, size
from batchllm.reports.html.rows import Row

MAX_BYTES = 2_500_000
"""What the texts of all rows may take together."""
CLIPS = (4000, 2500, 1500, 1000, 700, 450, 300, 180, 100)
PEEK = 160


def answers(picture: Picture, *, prompts: bool) -> Iterator[Markup] | None:
    """The section in pieces; None where no line has come to an end yet. `prompts` says whether the rows have theirs."""
    rows = picture.rows
    if not rows:
        return None
    clip = _clip(rows)
    ended = picture.counts["answered"] + picture.counts["failed"]
    chosen = (
        f"{count(len(rows))} of {count(ended)} lines, chosen by chance" if len(rows) < ended else f"{count(len(rows))} lines"
    )
    without = "" if prompts else "; the job file is gone or has changed, so prompts are not shown"
    costs = any(row.cost_usd for row in rows)
    table = enclosed("div", chain((_head(costs),), (_row(row, clip, costs) for row in rows)), class_="rows")
    notes = (
        el("p", f"{chosen}{without}. results.jsonl has every answer in full.", class_="note"),
        el("p", "On paper: the first 40.", class_="note paper"),
    )
    return enclosed("section", chain((el("h2", "Answers"), _tools()), table, notes))


def _clip(rows: list[Row]) -> int:
    """The longest texts may be so that all of them stay within bounds."""
    texts = [text for row in rows for text in (row.prompt, row.answer, row.reasoning) if text]
    for clip in CLIPS:
        if sum(size(text[:clip]) for text in texts) <= MAX_BYTES:
            return clip
    return CLIPS[-1]


def _tools() -> Markup:
    """Shown by the script, without which they would do nothing."""
    states = [("", "all"), ("answered", "answered"), ("failed", "failed")]
    orders = [
        ("line", "in the job's order"),
        ("latency", "slowest first"),
        ("tokens", "most tokens first"),
        ("attempts", "most attempts first"),
    ]
    return el(
        "div",
        el(
            "input",
            type="search",
            placeholder="Filter by words in id, prompt or answer",
            aria_label="Filter",
            autocomplete="off",
        ),
        el("select", [el("option", text, value=value) for value, text in states], name="state", aria_label="State"),
        el("select", [el("option", text, value=value) for value, text in orders], name="order", aria_label="Order"),
        el("output", class_="soft"),
        class_="tools",
        hidden=True,
    )


def _head(costs: bool) -> Markup:
    names = ("line", "id", "answer", "time", "tokens", "cost" if costs else "attempts")
    return el(
        "div", [el("span", name, class_="n" if at == 0 or at > 2 else None) for at, name in enumerate(names)], class_="head"
    )


def _row(row: Row, clip: int, costs: bool) -> Markup:
    peek = el("bdi", " ".join(row.answer[: PEEK * 2].split())[:PEEK], class_="peek")
    if row.code is not None:
        peek = el("span", el("span", row.code, class_="tag"), " ", el("bdi", row.message[:PEEK]), class_="peek")
    last = money(row.cost_usd) if costs else count(row.attempts)
    summary = el(
        "summary",
        el("span", row.line or "", class_="n soft"),
        el("bdi", row.custom_id[:200], class_="id"),
        peek,
        el("span", duration(row.latency_s), class_="n"),
        el("span", count(row.tokens), class_="n"),
        el("span", last, class_="n"),
    )
    return el(
        "details",
        summary,
        _body(row, clip),
        class_="row",
        data_state="answered" if row.code is None else "failed",
        data_line=row.line,
        data_latency=row.latency_s,
        data_tokens=row.tokens,
        data_attempts=row.attempts,
    )


def _body(row: Row, clip: int) -> Markup:
    facts = [row.model, f"{row.attempts} attempts" if row.attempts and row.attempts > 1 else None]
    said = " · ".join(one for one in facts if one)
    return el(
        "div",
        el("p", el("span", row.code, class_="tag"), " ", el("bdi", row.message[:clip])) if row.code is not None else None,
        el("div", _text("Prompt", row.prompt, clip), _text("Answer", row.answer, clip), class_="pair"),
        _text("Reasoning", row.reasoning, clip),
        el("p", said, class_="soft note") if said else None,
        class_="body",
    )


def _text(what: str, text: str, clip: int) -> Markup | None:
    if not text:
        return None
    shown = text if len(text) <= clip else text[:clip] + " […]"
    return el("div", el("h3", what), el("pre", shown, dir="auto"))
