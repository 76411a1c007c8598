"""The short table at the end of a run: what was done, what failed and why, what it used, how to go on."""

from __future__ import annotations

from typing import Any

from batchllm.terminal import say

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
    if summary["retries"]:
        lines.append("  retries   " + ", ".join(f"{count} {code}" for code, count in summary["retries"].items()))
    lines.append("  time      " + _time(summary))
    lines.append(f"  files     {summary['output']}/results.jsonl" + (", errors.jsonl" if counts["failed"] else ""))
    if summary["removed_lines"]:
        lines.append(f"  note      {summary['removed_lines']} answers belong to lines the job no longer has; they are kept")
    if ended["exit_code"] in _GO_ON and counts["pending"]:
        when = f" (not before {ended['resume_after']})" if ended["resume_after"] else ""
        lines.append(f"  go on     {ended['command']}{when}")
    elif ended["exit_code"] == 1 and summary["failures"]:
        lines.append(f"  again     {ended['command']} --retry-failed")
    return lines


def _headline(summary: dict[str, Any]) -> str:
    mark = "SIMULATED · " if summary["simulated"] else ""
    return f"{mark}{summary['ended']['reason']} (exit {summary['ended']['exit_code']})"


def _tokens(summary: dict[str, Any]) -> str:
    usage = summary["usage"]
    names = ("prompt", "completion", "cached", "reasoning")
    parts = [f"{usage[f'{name}_tokens']:,} {name}" for name in names if usage[f"{name}_tokens"] is not None]
    text = ", ".join(parts) or "unknown"
    rejected = summary["rejected_usage"]["completion_tokens"]
    if rejected:
        text += f" ({rejected:,} of the completion in rejected answers)"
    if summary["usage_unknown"]:
        text += f"; {summary['usage_unknown']} attempts told no usage"
    if summary["outcome_unknown"]:
        text += f"; {summary['outcome_unknown']} attempts may have been billed unseen"
    if summary["cost_usd"]:
        text += f"; ${summary['cost_usd']:.4f}"
    return text


def _time(summary: dict[str, Any]) -> str:
    latency = summary["latency_s"]
    text = f"{summary['wall_s']:.1f} s, {summary['requests']} requests, {summary['requests_per_s']:.1f}/s"
    if latency["p50"] is not None:
        text += f"; latency p50 {latency['p50']:g} s, p90 {latency['p90']:g} s, p99 {latency['p99']:g} s"
    return text
