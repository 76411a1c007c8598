"""How a run ended, in the words of those who are told: a chat's text, a command's environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from batchllm.configuration import FACTS_PREFIX
from batchllm.endings import duration
from batchllm.types import Json

REASON = 600


def text(summary: Json, code: int) -> str:
    """Two or three lines for a person: which job, how it ended, what it came to, how to go on. No prompt, no answer."""
    name, ended = PurePath(str(summary["job"])).name, summary["ended"]
    mark = " (SIMULATED)" if summary.get("simulated") else ""
    lines = [f"batchllm {name}{mark}: {ended['reason'][:REASON]} (exit {code})"]
    if "request_counts" in summary:
        lines.append(_figures(summary))
    if ended.get("resume_after"):
        lines.append(f"not before {ended['resume_after']}: the same command goes on")
    return "\n".join(lines)


def _figures(summary: Json) -> str:
    counts = summary["request_counts"]
    parts = [
        f"{counts['total']:,} lines: {counts['completed']:,} answered, {counts['failed']:,} failed, {counts['pending']:,} pending"
    ]
    tokens = summary["usage"].get("total_tokens")
    if tokens:
        parts.append(f"{tokens:,} tokens")
    if summary.get("cost_usd"):
        parts.append(f"${summary['cost_usd']:.4f} in all")
    parts.append(duration(summary["wall_s"]))
    return " · ".join(parts)


def slack(summary: Json, code: int) -> Json:
    """What a webhook is posted: Slack shows `text` (as do Mattermost and Rocket.Chat); `batchllm` holds the facts.

    The three characters that Slack reads as markup are escaped, so that no server's message can call a channel.
    """
    shown = text(summary, code).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": shown, "batchllm": short(summary, code)}


def short(summary: Json, code: int) -> Json:
    """The summary without what is long, or may quote prompts and answers: failures by code only."""
    names = ("job", "output", "provider", "model", "simulated", "request_counts", "this_run", "usage", "cost_usd", "retries",
             "latency_s", "wall_s")  # fmt: skip
    found = {name: summary[name] for name in names if name in summary}
    failures = {name: group["count"] for name, group in summary.get("failures", {}).items()}
    ended = {name: summary["ended"].get(name) for name in ("reason", "at", "resume_after")}
    return {**found, "failures": failures, "ended": {**ended, "exit_code": code}}


def environment(summary: Json, code: int, outer: Mapping[str, str], secret: frozenset[str]) -> dict[str, str]:
    """The environment of a command that follows a run: the outer one without the variables in `secret` and without any
    other that holds one of their values, and the run's facts."""
    values = {outer[name] for name in secret if outer.get(name)}
    kept = {name: value for name, value in outer.items() if name not in secret and value not in values}
    counts = summary.get("request_counts", {})
    told = {
        "EXIT_CODE": code,
        "REASON": summary["ended"]["reason"],
        "JOB": summary["job"],
        "OUTPUT": summary["output"],
        "TOTAL": counts.get("total"),
        "COMPLETED": counts.get("completed"),
        "FAILED": counts.get("failed"),
        "PENDING": counts.get("pending"),
        "TOKENS": summary.get("usage", {}).get("total_tokens"),
        "COST_USD": summary.get("cost_usd"),
        "TEXT": text(summary, code),
    }
    return kept | {FACTS_PREFIX + name: _plain(value) for name, value in told.items()}


def _plain(value: object) -> str:
    """As an environment takes it; empty for what is not known."""
    return "" if value is None else str(value).replace("\0", "").encode("utf-8", "replace").decode()


def refused(job: str, output: str, command: str, code: int, reason: str, at: str) -> Json:
    """The summary of a run that ended before it began."""
    ended = {"exit_code": code, "reason": reason, "at": at, "resume_after": None, "command": command}
    return {"job": job, "output": output, "ended": ended}
