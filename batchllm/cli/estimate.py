"""An estimate as lines of text."""

from __future__ import annotations

from batchllm.canary import BINDS, money
from batchllm.endings import duration
from batchllm.types import Json


def estimate_lines(estimate: Json, max_cost: float | None = None) -> list[str]:
    """Tokens, cost and time of a job; beside `max_cost`, whether it may not be enough."""
    lines = ["  tokens    " + _tokens(estimate), "  cost      " + _cost(estimate)]
    if estimate["attachments"]:
        beside = ", ".join(f"{count:,} {kind}" for kind, count in estimate["attachments"].items())
        lines.append(f"            {beside}: counted very roughly, each provider counts them in its own way")
    if "time" in estimate:
        lines.append("  time      " + _time(estimate["time"]))
    most = (estimate["cost_usd"] or {}).get("most")
    if max_cost is not None and most is not None and most > max_cost:
        lines.append(f"            the most is above --max-cost {money(max_cost)}: the run may stop before its end (exit 75)")
    return lines


def _tokens(estimate: Json) -> str:
    low, high = estimate["prompt_tokens_range"]
    text = f"about {estimate['prompt_tokens']:,} prompt ({low:,} to {high:,}; {estimate['method']})"
    typical, ceiling = estimate["typical_completion_tokens"], estimate["max_completion_tokens"]
    if typical is not None:
        text += f", about {typical[0]:,} completion if like the earlier ones"
    return text + (f", at most {ceiling:,} completion" if ceiling is not None else ", completion unbounded (no max_tokens)")


def _cost(estimate: Json) -> str:
    cost, unpriced = estimate["cost_usd"], estimate["unpriced_models"]
    missing = f"no price is known for {', '.join(name or 'lines without a model' for name in unpriced[:3])}" if unpriced else ""
    if cost is None:
        return f"unknown: {missing}; [prices] in the settings gives one" if missing else "unknown: nothing to send"
    text = f"${cost['least']:.4g} for the prompts alone"
    if cost["typical"] is not None:
        bounds = cost["typical"]
        text += f", about ${bounds['value']:.4g} if like the earlier ones (${bounds['low']:.4g} to ${bounds['high']:.4g})"
    if cost["most"] is not None:
        text += f", at most about ${cost['most']:.4g} with every answer at its limit"
    elif not missing:
        text += ", no upper bound: some answer has no limit (max_tokens)"
    if cost["most_as_provider_batch"] is not None:
        text += f" (${cost['most_as_provider_batch']:.4g} by the provider's own batch prices)"
    return f"{text}; prices: {', '.join(cost['prices'])}" + (f"; {missing}" if missing else "")


def _time(time: Json) -> str:
    latency = f"{time['latency_s']:g} s an answer" + (
        ", which is assumed" if time["latency_assumed"] else ", as earlier ones took"
    )
    return f"about {duration(time['seconds'])} at least, at {latency}; {BINDS[time['binds']]}"
