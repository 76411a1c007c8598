"""The short table at the end of a run: what was done, what failed and why, what it used, how to go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from batchllm.terminal import say

WORKERS = 8
"""So many have a line of their own."""
_GO_ON = {69, 74, 75, 77, 129, 130, 143}


def closing(summary: dict[str, Any]) -> None:
    for line in closing_lines(summary):
        say(line)


def closing_lines(summary: dict[str, Any]) -> list[str]:
    """The table as lines of text."""
    counts, ended = summary["request_counts"], summary["ended"]
    lines = ["", _headline(summary)]
    parts = [f"{counts['completed']} answered", f"{counts['failed']} failed", f"{counts['pending']} pending"]
    lines.append(f"  lines     {counts['total']}: " + ", ".join(parts))
    for code, group in summary["failures"].items():
        lines.append(f"    {code:<18}{group['count']:>7}  e.g. line {group['example_line']}: {group['message'][:140]}")
    if counts["invalid_lines"]:
        lines.append(f"    {'bad lines':<18}{counts['invalid_lines']:>7}  see errors.jsonl")
    lines.append("  tokens    " + _tokens(summary))
    lines += _cost(summary)
    if summary["duplicates"]:
        lines.append(
            f"  saved     {summary['duplicates']:,} requests: lines that ask the same as another (--no-dedupe sends them)"
        )
    if summary["retries"]:
        lines.append("  retries   " + ", ".join(f"{count} {code}" for code, count in summary["retries"].items()))
    lines += _lanes(summary.get("lanes") or {}, summary["output"])
    lines.append("  time      " + _time(summary))
    if summary.get("concurrency_found"):
        lines.append(f"  in flight {summary['concurrency_found']:,} at a time, as --concurrency auto found")
    lines += _endpoints(summary.get("endpoints", ()))
    lines += _workers(summary.get("ray", {}).get("workers", []))
    lines.append(f"  files     {summary['output']}/results.jsonl" + (", errors.jsonl" if counts["failed"] else ""))
    if summary["removed_lines"]:
        lines.append(f"  note      {summary['removed_lines']} answers belong to lines the job no longer has; they are kept")
    if ended["exit_code"] in _GO_ON and counts["pending"]:
        when = f" (not before {ended['resume_after']})" if ended["resume_after"] else ""
        lines.append(f"  go on     {ended['command']}{when}")
    elif ended["exit_code"] == 1 and summary["failures"]:
        lines.append(f"  again     {ended['command']} --retry-failed")
    return lines


def _lanes(lanes: dict[str, Any], folder: str) -> list[str]:
    """What went by each lane, and what is still on its way."""
    lines = []
    for name, lane in lanes.items():
        cost = "" if not lane["cost_usd"] else f", ${lane['cost_usd']:.4f}"
        saved = f", ${lane['saved_usd']:.4f} less than live" if lane.get("saved_usd") else ""
        batches = f" in {lane['batches']} batches" if "batches" in lane else ""
        lines.append(f"  {name:<10}{lane['answered']:,} answered{batches}{cost}{saved}")
    going = lanes.get("batch", {})
    if going.get("unfinished"):
        lines.append(
            f"  running   {going['unfinished']} batches with {going['unfinished_lines']:,} lines go on at the provider; "
            f"the same command fetches them, `batchllm cancel {folder}` stops them"
        )
    return lines


def _headline(summary: dict[str, Any]) -> str:
    mark = "SIMULATED · " if summary["simulated"] else ""
    return f"{mark}{summary['ended']['reason']} (exit {summary['ended']['exit_code']})"


def _tokens(summary: dict[str, Any]) -> str:
    usage = summary["usage"]
    names = ("prompt", "completion", "cached", "reasoning")
    parts = [f"{usage[f'{name}_tokens']:,} {name}" for name in names if usage[f"{name}_tokens"] is not None]
    text = ", ".join(parts) or "unknown"
    if summary["cached_share"]:
        text += f" ({summary['cached_share']:.0%} of the prompts from the provider's cache)"
    rejected = summary["rejected_usage"]["completion_tokens"]
    if rejected:
        text += f" ({rejected:,} of the completion in rejected answers)"
    if summary["usage_unknown"]:
        text += f"; {summary['usage_unknown']} attempts told no usage"
    if summary["outcome_unknown"]:
        text += f"; {summary['outcome_unknown']} attempts may have been billed unseen"
    return text


def _cost(summary: dict[str, Any]) -> Iterator[str]:
    """What all runs into the folder cost; rejected answers and attempts of unknown outcome stand apart."""
    cost, known = summary["cost"], summary["cost_usd"] is not None
    if not known and not cost["known_usd"]:
        if not summary["simulated"] and summary["usage"]["total_tokens"]:
            yield "  cost      unknown: no price is known for this model, so there are tokens only; [prices] in the settings gives one"
        return
    if not cost["known_usd"] and not cost["unseen_at_most_usd"]:
        return
    text = f"${cost['known_usd']:.4f}" + ("" if known else " for the answers whose cost is known")
    if cost["rejected_usd"]:
        text += f", ${cost['rejected_usd']:.4f} of it for answers that were rejected"
    if cost["unseen_at_most_usd"]:
        text += f"; up to ${cost['unseen_at_most_usd']:.4f} more for attempts of which nobody told"
    yield f"  cost      {text}"


def _endpoints(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """What each of several endpoints did."""
    for row in rows:
        latency = row["latency_s"]
        times = f"; latency p50 {latency['p50']:g} s, p90 {latency['p90']:g} s" if latency["p50"] is not None else ""
        state = "" if row["state"] == "in use" else f"; {row['state'][:140]}"
        yield (
            f"  endpoint  {row['endpoint']}: {row['requests']} requests, {row['answered']} answered, {row['refused']} refused, "
            f"{row['failed']} failed, {row['tokens']:,} tokens{times}; up to {row['limit']} in flight{state}"
        )


def _workers(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What each of several workers did."""
    for row in rows[:WORKERS]:
        lost = f"; {row['lost']} lost" if row["lost"] else ""
        yield (
            f"  worker    {row['worker']} on {row['node'] or 'no node'}: {row['requests']:,} requests, {row['answered']:,} answered, "
            f"{row['failed']:,} failed, {row['tokens']:,} tokens{lost}"
        )
    if len(rows) > WORKERS:
        yield f"            and {len(rows) - WORKERS} more, in summary.json"


def _time(summary: dict[str, Any]) -> str:
    latency = summary["latency_s"]
    text = f"{summary['wall_s']:.1f} s, {summary['requests']} requests, {summary['requests_per_s']:.1f}/s"
    if latency["p50"] is not None:
        text += f"; latency p50 {latency['p50']:g} s, p90 {latency['p90']:g} s, p99 {latency['p99']:g} s"
    return text
