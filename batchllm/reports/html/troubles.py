"""What went wrong: attempts that had to be made again, fields that failed their schema, lines that failed for good."""

from __future__ import annotations

from batchllm.reports.html import charts
from batchllm.reports.html.figures import count
from batchllm.reports.html.fold import Group, Picture
from batchllm.reports.html.markup import Markup, el
from batchllm.reports.html.rows import Row

SHOWN = 14
_KINDS = {
    "refused": "told to wait, not billed", "unreachable": "not reached, not billed", "maybe_paid": "may have been billed",
    "paid": "billed, answer rejected", "probe": "quota in doubt", "pause": "a long pause", "stop": "the account was refused",
    "local": "this machine's own fault", "final": "not to be cured by waiting",
}  # fmt: skip


def troubles(picture: Picture) -> Markup | None:
    """None for a run in which all went well."""
    fold = picture.fold
    panels = [_retries(picture), _fields(picture)]
    groups = sorted(fold.groups.values(), key=lambda group: -group.count)
    if not any(panels) and not groups:
        return None
    return el(
        "section",
        el("h2", "What went wrong"),
        el("div", panels, class_="two") if any(panels) else None,
        _failed(groups, picture),
    )


def _retries(picture: Picture) -> Markup | None:
    found = picture.fold.retries.most_common(SHOWN)
    rows = [(code, _KINDS.get(kind, kind), number, "warn" if kind == "refused" else "calm") for (code, kind), number in found]
    return _panel("Asked again, by cause", rows)


def _fields(picture: Picture) -> Markup | None:
    found = picture.fold.fields.most_common(SHOWN)
    return _panel("Fields that failed for good, by how many lines", [(name, "", number, "bad") for name, number in found])


def _panel(heading: str, rows: list[tuple[str, str, int, str]]) -> Markup | None:
    if not rows:
        return None
    most = max(number for _, _, number, _ in rows)
    body = [
        el("tr", el("td", el("code", name), [el("br"), el("span", why, class_="soft")] if why else None, class_="w"),
           el("td", charts.bar(number / most, color), class_="bar"), el("td", count(number), class_="n"))
        for name, why, number, color in rows
    ]  # fmt: skip
    return el("div", el("h3", heading), el("table", body), class_="panel")


def _failed(groups: list[Group], picture: Picture) -> Markup | None:
    if not groups:
        return None
    failed = count(picture.counts["failed"])
    return el(
        "div",
        el("h3", f"Failed lines: {failed}, alike ones together"),
        [_group(one) for one in groups],
        class_="panel troubles",
    )


def _group(group: Group) -> Markup:
    summary = el(
        "summary",
        el("span", count(group.count), class_="n"),
        el("span", group.code, class_="tag"),
        el("bdi", group.message[:300]),
    )
    return el("details", summary, [_example(row) for row in group.examples], class_="group")


def _example(row: Row) -> Markup:
    where = f"line {row.line} · " if row.line else ""
    shown = el("pre", row.answer, dir="auto") if row.answer else None
    return el(
        "div", el("p", where, el("bdi", row.custom_id), class_="soft"), el("p", el("bdi", row.message)), shown, class_="example"
    )
