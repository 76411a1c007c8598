"""Tokens and money: what was used, what of it was for nothing, at which prices."""

from __future__ import annotations

from typing import Any

from batchllm.reports.html import charts
from batchllm.reports.html.figures import NONE, count, counted, money
from batchllm.reports.html.fold import Picture
from batchllm.reports.html.markup import Markup, el


def bill(picture: Picture) -> Markup:
    """Two panels: tokens by kind, and the bill with its uncertain and wasted parts apart."""
    return el("div", _tokens(picture), _money(picture), class_="two")


def _tokens(picture: Picture) -> Markup:
    usage = picture.words.totals.usage
    prompt, written = usage["prompt_tokens"] or 0, usage["completion_tokens"] or 0
    cached, thought = min(usage["cached_tokens"] or 0, prompt), min(usage["reasoning_tokens"] or 0, written)
    parts = [
        ("read", prompt - cached, "accent"), ("read from cache", cached, "calm"),
        ("reasoned", thought, "warn"), ("written", written - thought, "good"),
    ]  # fmt: skip
    if not prompt + written:
        return el("div", el("h3", "Tokens"), el("p", "No answer told what it used.", class_="soft"), class_="panel")
    about = ", ".join(f"{number} tokens {name}" for name, number, _ in parts)
    said = [el("span", f"{count(number)} {name}", class_=color) for name, number, color in parts if number]
    drawn = charts.stack([(number, color) for _, number, color in parts], about)
    return el("div", el("h3", "Tokens"), drawn, el("p", said, class_="legend"), class_="panel")


def _money(picture: Picture) -> Markup:
    rejected, unseen = picture.fold.rejected, picture.words.totals.maybe_billed
    cost = picture.cost_usd
    rows = [("All attempts that were billed", money(cost), count(picture.words.totals.usage["total_tokens"]))]
    if rejected.attempts:
        wasted = money(rejected.cost_usd) if rejected.cost_usd else NONE
        rows.append(
            (
                f"of these {counted(rejected.attempts, 'answer')} that {'was' if rejected.attempts == 1 else 'were'} rejected",
                wasted,
                count(rejected.tokens),
            )
        )
    if unseen:
        most = picture.words.totals.at_most_usd
        rows.append(
            (f"{counted(unseen, 'attempt')} may have been billed unseen", f"up to {money(most)}" if most else "unknown", NONE)
        )
    body = [
        el("tr", el("td", what), el("td", dollars, class_="n"), el("td", tokens, class_="n")) for what, dollars, tokens in rows
    ]
    header = el("tr", el("th", ""), el("th", "cost", class_="n"), el("th", "tokens", class_="n"))
    return el("div", el("h3", "The bill"), el("table", header, body), _prices(picture), class_="panel")


def _prices(picture: Picture) -> Markup:
    used = picture.manifest.settings.get("prices_used")
    known = {model: row for model, row in used.items() if isinstance(row, dict)} if isinstance(used, dict) else {}
    if known:
        said = "; ".join(f"{model} {_rates(row)}" for model, row in list(known.items())[:6])
        return el("p", f"Reckoned per million tokens: {said}. The provider's invoice is the truth.", class_="note")
    if picture.cost_usd:
        return el("p", "The provider's invoice is the truth.", class_="note")
    if picture.manifest.simulated:
        return el("p", "Nothing was billed: the endpoint is simulated.", class_="note")
    return el(
        "p", "No price is known for this model, so there are tokens only; [prices] in the settings gives one.", class_="note"
    )


def _rates(row: dict[str, Any]) -> str:
    rates = [f"{money(row[name])} {word}" for name, word in (("input", "read"), ("cached", "cached"), ("output", "written"))
             if isinstance(row.get(name), int | float)]  # fmt: skip
    return ", ".join(rates) + (f" ({row['source']})" if row.get("source") else "")
