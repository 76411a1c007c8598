"""The top of the page: what was run, what came of it, the numbers that matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchllm.reports.html import charts
from batchllm.reports.html.figures import count, counted, duration, moment, money, rate, share
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.markup import Markup, el

_SIMULATED = "Simulated: these answers come from the built-in endpoint. They fit the form and mean nothing."
_GOOD, _WARN, _BAD = "good", "warn", "bad"


def title(picture: Picture) -> str:
    """The job's name."""
    return Path(str(picture.manifest.job.get("path") or picture.folder)).name


def head(picture: Picture) -> Markup:
    """State, name, one line of facts, how the lines of the job stand, and the cards."""
    state, color = _state(picture)
    shaping = picture.manifest.shaping
    ended = picture.summary.get("ended", {})
    facts = [
        shaping.get("model") or "a model for each line",
        shaping.get("provider"),
        moment(ended.get("at") or picture.manifest.created),
    ]
    return el(
        "header",
        el("p", state, class_=f"state {color}"),
        el("h1", title(picture)),
        el("p", " · ".join(str(one) for one in facts if one), class_="lead"),
        _banner(picture),
        _whole(picture),
        _cards(picture),
    )


def _banner(picture: Picture) -> Markup | None:
    if not picture.manifest.simulated:
        return None
    return el("p", _SIMULATED,
              class_="banner")  # fmt: skip


def _state(picture: Picture) -> tuple[str, str]:
    counts, ended = picture.counts, picture.summary.get("ended")
    if counts["pending"]:
        reason = str(ended.get("reason") or "stopped") if isinstance(ended, dict) else "cut off, or still at work"
        return f"Not finished: {reason}", _WARN
    if counts["failed"]:
        return f"Finished; {counted(counts['failed'], 'line')} failed", _BAD if counts["failed"] > counts["answered"] else _WARN
    return "Every line is answered", _GOOD


def _whole(picture: Picture) -> Markup:
    counts = picture.counts
    parts = (("answered", _GOOD), ("failed", _BAD), ("pending", "calm"))
    about = ", ".join(f"{counts[name]} {name}" for name, _ in parts)
    said = [
        el("span", f"{count(counts[name])} {name} ({share(counts[name], counts['total'])})", class_=color)
        for name, color in parts
        if counts[name] or name == "answered"
    ]
    return el("div", charts.stack([(counts[name], color) for name, color in parts], about), el("p", said, class_="legend"))


def _cards(picture: Picture) -> Markup:
    summary, usage = picture.summary, picture.words.totals.usage
    total = usage["total_tokens"] or (usage["prompt_tokens"] or 0) + (usage["completion_tokens"] or 0)
    fold, answered = picture.fold, picture.counts["answered"]
    retried, refused = sum(fold.retries.values()), sum(n for (_, kind), n in fold.retries.items() if kind == "refused")
    cost = picture.cost_usd
    each = (
        f"{money(1000 * cost / answered)} for 1,000 answers" if cost and answered else "no price is known" if not cost else ""
    )
    wall, median = seconds(picture), fold.latency.percentile(0.5)
    cards = [
        ("Lines", count(picture.counts["total"]), f"{count(answered)} answered{_equal(picture)}"),
        ("Cost", money(cost), "simulated" if picture.manifest.simulated and not cost else each),
        ("Tokens", count(total), f"{count(usage['prompt_tokens'])} read, {count(usage['completion_tokens'])} written"),
        ("Time", duration(wall), f"{rate(answered / wall)} answered" if wall and picture.series else _rate(summary)),
        ("Latency", duration(median), f"median; p99 {duration(fold.latency.percentile(0.99))}"),
        ("Asked again", count(retried), f"{count(refused)} told to wait" if refused else "refused never"),
    ]  # fmt: skip
    return el("div", [_card(*card) for card in cards], class_="cards")


def _equal(picture: Picture) -> str:
    duplicates = picture.words.totals.duplicates
    return f", {count(duplicates)} without a request: equal to others" if duplicates else ""


def _rate(summary: Any) -> str:
    found = summary.get("requests_per_s")
    return f"{rate(found)} in the last run" if isinstance(found, int | float) else ""


def seconds(picture: Picture) -> float | None:
    """Time at work: of every run that left a series, else of the last one."""
    runs = [one["t"][-1] for one in picture.series if one["t"]]
    wall = picture.summary.get("wall_s")
    return sum(runs) if runs else float(wall) if isinstance(wall, int | float) else None


def _card(what: str, value: str, more: str) -> Markup:
    return el("div", el("p", what, class_="what"), el("p", value, class_="value"), el("p", more, class_="more"), class_="card")
