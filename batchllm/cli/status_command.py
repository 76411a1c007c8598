"""`batchllm status`."""

from __future__ import annotations

import sys
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

import orjson

from batchllm.cli.remote import output_to_read
from batchllm.endings import duration
from batchllm.reports.status import status
from batchllm.terminal import say
from batchllm.types import Json

SHOWN = 20
"""Batches told one by one."""


def main(args: Namespace) -> int:
    now = datetime.now(UTC)
    output = output_to_read(args.folder)
    found = status(output.folder, now, output.at_work) | {"folder": str(args.folder)}
    if args.json:
        print(orjson.dumps(found).decode())
    else:
        for line in status_lines(found, now):
            say(line, sys.stdout)
    return 0


def status_lines(found: Json, now: datetime) -> list[str]:
    """The status as lines of text."""
    if found["job"] is None:
        return [f"{found['folder']}: no run has begun here: there is no job.json" + _held(found)]
    lines = [("SIMULATED · " if found["simulated"] else "") + f"{found['folder']}: {_headline(found)}"]
    lines.append(f"  job       {found['job']} → {found['provider']}" + (f" ({found['model']})" if found["model"] else ""))
    lines.append("  lines     " + _counts(found["request_counts"]))
    for code, group in found["failures"].items():
        place = f"line {group['example_line']} '{group['example_custom_id'][:60]}'"
        lines.append(f"    {code:<18}{group['count']:>7}  e.g. {place}: {str(group['message'])[:140]}")
    if found["request_counts"]["invalid_lines"]:
        lines.append(f"    {'bad lines':<18}{found['request_counts']['invalid_lines']:>7}  of the job, never sent")
    lines.append("  tokens    " + _tokens(found))
    lines += _batches(found["batches"])
    if found["duplicates"]:
        lines.append(f"  saved     {found['duplicates']:,} requests: lines that ask the same as another")
    if found["pace"] or found["last_written"]:
        lines.append("  pace      " + _pace(found, now))
    if found["last_attempts"]:
        lines.append("  attempts  the last that came to no answer:")
        lines += [f"    {_attempt(note)}" for note in found["last_attempts"]]
    return lines + _notes(found)


def _batches(batches: list[Json]) -> list[str]:
    """The batches at the provider: the unfinished ones, and how many are done."""
    if not batches:
        return []
    going = [one for one in batches if one["open"]]
    lines = [f"  batches   {len(batches)}: {len(going)} unfinished with {sum(one['lines'] for one in going):,} lines"]
    for one in going[:SHOWN]:
        done = "" if one["completed"] is None else f", {one['completed']:,} done there"
        name = one["batch_id"] or "not yet created"
        lines.append(f"    {name}  {one['status']}, {one['lines']:,} lines{done}, submitted {one['submitted_at']}")
    if len(going) > SHOWN:
        lines.append(f"    … and {len(going) - SHOWN} more; --json shows all")
    return lines


def _held(found: Json) -> str:
    return f"; one is beginning: {found['at_work']}" if found["at_work"] else ""


def _headline(found: Json) -> str:
    if found["at_work"]:
        return f"a run is at work: {found['at_work']}"
    if found["ended"] is None:
        return "no run is at work; the last one was cut off before its end"
    if found["stale_summary"]:
        return f"no run is at work; the last one was cut off, the one before it ended: {found['ended']['reason']}"
    return f"no run is at work; ended {found['ended']['at']}: {found['ended']['reason']} (exit {found['ended']['exit_code']})"


def _counts(counts: dict[str, Any]) -> str:
    return f"{counts['total']:,}: {counts['completed']:,} answered, {counts['failed']:,} failed, {counts['pending']:,} pending"


def _tokens(found: Json) -> str:
    names = ("prompt", "completion", "cached", "reasoning")
    usage = found["usage"]
    text = ", ".join(f"{usage[f'{name}_tokens']:,} {name}" for name in names if usage[f"{name}_tokens"] is not None)
    text = text or "unknown"
    if found["outcome_unknown"]:
        text += f"; {found['outcome_unknown']:,} attempts may have been billed unseen"
    return text + (f"; ${found['cost_usd']:.4f}" if found["cost_usd"] is not None else "")


def _pace(found: Json, now: datetime) -> str:
    parts = []
    pace = found["pace"]
    if pace:
        parts.append(f"{pace['lines_per_s']:g} lines/s over {duration(pace['seconds'])}")
        if pace["seconds_left"]:
            parts.append(f"about {duration(pace['seconds_left'])} to go")
    if found["last_written"]:
        age = max(0.0, (now - datetime.fromisoformat(found["last_written"])).total_seconds())
        parts.append(f"last answer {found['last_written']} ({duration(age)} ago)")
    return ", ".join(parts)


def _attempt(note: Json) -> str:
    status = f" {note['status']}" if note.get("status") else ""
    what = "failed for good" if note.get("final") else f"again after {note.get('wait_s') or 0:g} s"
    code = note.get("code") or "no code"
    place = f"line {note.get('line')} '{str(note.get('custom_id'))[:60]}'"
    return f"{place} {code}{status}: {str(note.get('message'))[:140]} ({what})"


def _notes(found: Json) -> list[str]:
    lines = []
    counts, ended = found["request_counts"], found["ended"]
    if found["outdated"]:
        lines.append(f"  note      {found['outdated']:,} answers were made with other settings; they are asked again")
    if counts["completed"] + counts["failed"] > counts["total"]:
        lines.append("  note      some answers belong to lines the job no longer has, or to lines beyond --limit")
    if found["damaged_lines"]:
        lines.append(f"  damaged   {found['damaged_lines']:,} lines; `batchllm verify --repair` moves them aside")
    if found["at_work"]:
        return lines
    if ended is None:
        lines.append("  go on     run the same command again: what is answered is not asked twice")
    elif counts["pending"] or found["stale_summary"]:
        when = f" (not before {ended['resume_after']})" if ended.get("resume_after") else ""
        lines.append(f"  go on     {ended['command']}{when}")
    elif counts["failed"]:
        lines.append(f"  again     {ended['command']} --retry-failed")
    return lines
