"""Two runs side by side: what each came to, which answers changed, what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from batchllm.reports.html import charts
from batchllm.reports.html.changes import Changes, Pair
from batchllm.reports.html.figures import NONE, count, duration, money, share
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.head import seconds, title
from batchllm.reports.html.markup import Markup, el
from batchllm.reports.html.page import document
from batchllm.strictjson import loads

PEEK, CLIP, SHOWN = 160, 2500, 20


def comparison_page(before: Picture, after: Picture, found: Changes) -> Iterator[bytes]:
    """The report of two runs, A and B, in pieces."""
    name = f"{title(before)} against {title(after)}" if title(before) != title(after) else title(before)
    sections = [
        el(
            "header",
            el("p", "Two runs compared", class_="state"),
            el("h1", name),
            _which("A", before),
            _which("B", after),
            _answers(found),
        ),
        el("section", el("h2", "Side by side"), el("div", _numbers(before, after), class_="panel scroll")),
        _failures(before, after),
        _changed(found),
    ]
    return document(f"{name} · compared by batchllm", sections)


def _which(letter: str, picture: Picture) -> Markup:
    shaping = picture.manifest.shaping
    facts = (str(picture.folder), shaping.get("model"), shaping.get("provider"))
    return el("p", el("b", letter), " ", el("bdi", " · ".join(str(one) for one in facts if one)), class_="lead")


def _answers(found: Changes) -> Markup:
    common = found.same + found.changed
    parts = [
        (found.same, "good", f"{count(found.same)} answers are the same"),
        (found.changed, "warn", f"{count(found.changed)} differ ({share(found.changed, common)})"),
        (found.only_before, "calm", f"{count(found.only_before)} only in A"),
        (found.only_after, "accent", f"{count(found.only_after)} only in B"),
    ]
    said = [el("span", text, class_=color) for number, color, text in parts if number]
    note = None
    if found.other_request:
        text = f"{count(found.other_request)} lines asked something else in B: their answers are not to be compared."
        note = el("p", text, class_="note")
    drawn = charts.stack([(number, color) for number, color, _ in parts], "; ".join(text for _, _, text in parts))
    return el("div", drawn, el("p", said or "Neither has an answer.", class_="legend"), note)


def _numbers(before: Picture, after: Picture) -> Markup:
    rows: list[tuple[str, Callable[[Picture], float | None], Callable[[float | None], str], int]] = [
        ("Lines", lambda one: one.counts["total"], count, 0),
        ("Answered", lambda one: one.counts["answered"], count, -1),
        ("Failed", lambda one: one.counts["failed"], count, 1),
        ("Pending", lambda one: one.counts["pending"], count, 1),
        ("Cost", lambda one: one.cost_usd, money, 1),
        ("Cost of 1,000 answers", _each, money, 1),
        ("Tokens read", lambda one: one.words.totals.usage["prompt_tokens"], count, 1),
        ("Tokens written", lambda one: one.words.totals.usage["completion_tokens"], count, 1),
        ("Asked again", lambda one: sum(one.fold.retries.values()), count, 1),
        ("Rejected answers that were billed", lambda one: one.fold.rejected.attempts, count, 1),
        ("Time at work", seconds, duration, 1),
        ("Latency, median", lambda one: one.fold.latency.percentile(0.5), duration, 1),
        ("Latency, p99", lambda one: one.fold.latency.percentile(0.99), duration, 1),
        ("First token, median", lambda one: one.fold.ttft.percentile(0.5), duration, 1),
    ]
    head = el("tr", el("th", ""), [el("th", name, class_="n") for name in ("A", "B", "B against A")])
    body = []
    for name, value, written, worse in rows:
        a, b = value(before), value(after)
        if a is not None or b is not None:
            body.append(
                el(
                    "tr",
                    el("td", name),
                    el("td", written(a), class_="n"),
                    el("td", written(b), class_="n"),
                    _delta(a, b, worse),
                )
            )
    return el("table", head, body)


def _each(picture: Picture) -> float | None:
    cost, answered = picture.cost_usd, picture.counts["answered"]
    return None if cost is None or not answered else 1000 * cost / answered


def _delta(a: float | None, b: float | None, worse: int) -> Markup:
    """The difference, colored where more of it is better or worse."""
    if a is None or b is None:
        return el("td", NONE, class_="n")
    if a == b:
        return el("td", "the same", class_="n soft")
    text = f"{(b - a) / a:+.1%}".replace("%", " %") if a else "new"
    color = "" if not worse else " worse" if (b > a) == (worse > 0) else " better"
    return el("td", text, class_=f"n{color}")


def _failures(before: Picture, after: Picture) -> Markup | None:
    sides = [_codes(before), _codes(after)]
    codes = sorted(sides[0].keys() | sides[1].keys(), key=lambda code: -max(side[code] for side in sides))
    if not codes:
        return None
    head = el("tr", el("th", "code"), el("th", "A", class_="n"), el("th", "B", class_="n"), el("th", "B against A", class_="n"))
    body = [
        el("tr", el("td", el("code", code)), [el("td", count(side[code]), class_="n") for side in sides],
           _delta(sides[0][code], sides[1][code], 1))
        for code in codes
    ]  # fmt: skip
    return el("section", el("h2", "Failed lines"), el("div", el("table", head, body), class_="panel scroll"))


def _codes(picture: Picture) -> Counter[str]:
    found: Counter[str] = Counter()
    for group in picture.fold.groups.values():
        found[group.code] += group.count
    return found


def _changed(found: Changes) -> Markup | None:
    if not found.pairs:
        return None
    shown = (
        f"{count(len(found.pairs))} of {count(found.changed)}, chosen by chance" if len(found.pairs) < found.changed else "all"
    )
    fields = [_fields(pair) for pair in found.pairs]
    rows = [_pair(pair, names) for pair, names in zip(found.pairs, fields, strict=True)]
    return el(
        "section", el("h2", f"Changed answers: {shown}"), _often(fields, len(rows)), el("div", _PAIR_HEAD, rows, class_="rows")
    )


def _fields(pair: Pair) -> list[str]:
    """The fields that differ, where both answers are objects and short enough to be held in full."""
    try:
        a, b = loads(pair.before.answer.encode()), loads(pair.after.answer.encode())
    except ValueError:
        return []
    if not isinstance(a, dict) or not isinstance(b, dict):
        return []
    return [str(name) for name in {**a, **b} if a.get(name, _NOTHING) != b.get(name, _NOTHING)]


_NOTHING = object()


def _often(fields: list[list[str]], rows: int) -> Markup | None:
    often = Counter(name for names in fields for name in names).most_common(SHOWN)
    if not often:
        return None
    body = [
        el("tr", el("td", el("code", name), class_="w"), el("td", charts.bar(number / rows, "warn"), class_="bar"),
           el("td", share(number, rows), class_="n"))
        for name, number in often
    ]  # fmt: skip
    return el("div", el("h3", "Fields that differ"), el("table", body), class_="panel often")


_PAIR_HEAD = el(
    "div", el("span", "line", class_="n"), el("span", "id"), el("span", "differs in"),
    [el("span", f"time {one}", class_="n") for one in "AB"], el("span", ""), class_="head",
)  # fmt: skip


def _pair(pair: Pair, fields: list[str]) -> Markup:
    peek = ", ".join(fields) or " ".join(pair.after.answer[: PEEK * 2].split())
    summary = el(
        "summary",
        el("span", pair.after.line or "", class_="n soft"),
        el("bdi", pair.after.custom_id[:200], class_="id"),
        el("bdi", peek[:PEEK], class_="peek"),
        [el("span", duration(one.latency_s), class_="n") for one in (pair.before, pair.after)],
        el("span", ""),
    )
    sides = [
        el("div", el("h3", name), el("pre", one.answer[:CLIP], dir="auto"))
        for name, one in (("A", pair.before), ("B", pair.after))
    ]
    return el("details", summary, el("div", el("div", sides, class_="pair"), class_="body"), class_="row")
