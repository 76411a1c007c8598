"""`batchllm diff`: what a run would find to do in a folder, before it is started."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from batchllm.assembly import job_file, parts
from batchllm.cli.flags import configuration_for
from batchllm.cli.verify_command import manifest_of
from batchllm.configuration import Configuration
from batchllm.errors import ExitCode, JobError
from batchllm.journal.lock import holder
from batchllm.journal.manifest import Manifest, changes, shaping_digest
from batchllm.journal.storage import Storage
from batchllm.reports.changes import (
    ANSWERED,
    CHANGED,
    FAILED,
    NONE,
    OUTDATED,
    RETRYABLE,
    Standing,
    appended_after,
    named,
    standing,
)
from batchllm.sources.job_file import JobFile
from batchllm.sources.raw_lines import open_job
from batchllm.strictjson import dumps, loads
from batchllm.survey import Survey, survey
from batchllm.terminal import say
from batchllm.types import Json

_GROUPS = {
    "new": "were not in the job at the last run",
    "changed": "have another content than when they were asked",
    "pending": "were never answered",
    "new_or_pending": "have no answer; the job changed in its midst, so that new and pending cannot be told apart",
    "retryable": "failed, and may pass the next time",
    "outdated": "were answered with settings that no longer count",
    "failed": "failed for good, and are left so unless --retry-failed",
}


def main(args: Namespace) -> int:
    configuration = configuration_for(args)
    manifest = manifest_of(args.folder)
    open_job(args.job).close()
    found = compare(args.job, args.folder, manifest, configuration)
    if args.json:
        print(dumps(found).decode())
    else:
        for line in lines_of(found):
            say(line, sys.stdout)
    return int(ExitCode.SOME_FAILED if found["to_do"] else ExitCode.OK)


def compare(path: Path, folder: Path, manifest: Manifest, configuration: Configuration) -> Json:
    """Everything `diff` says. Raises `JobError`: 65 for a job or folder that cannot be read."""
    settings = configuration.settings
    job, changed, unknown = _settings(path, folder, manifest, configuration)
    found = survey(job, settings.limit)
    now = standing(found, folder, frozenset(manifest.accepted))
    groups = _groups(now, _first_new(path, folder, manifest, found))
    asked = sum(count for name, count in groups.items() if name != "failed" or settings.retry_failed)
    examples = _examples(job, now)
    return {
        "job": str(path),
        "folder": str(folder),
        "at_work": holder(Storage(), folder),
        "lines": found.total,
        "bad_lines": found.bad_count,
        "answered": now.count(ANSWERED),
        **groups,
        "removed": now.removed,
        "removed_examples": now.removed_examples,
        "examples": examples,
        "to_ask": asked,
        "changed_settings": changed,
        "settings_not_compared": unknown,
        "to_do": bool(asked or changed),
    }


def _settings(
    path: Path, folder: Path, manifest: Manifest, configuration: Configuration
) -> tuple[JobFile, list[str], str | None]:
    """The job as these settings read it, which of them changed, and why that cannot be said where it cannot."""
    try:
        made = parts(configuration, path, folder, command="batchllm diff")
    except JobError as error:
        if error.exit_code is not ExitCode.USAGE:
            raise
        return job_file(configuration.settings, path), [], str(error)
    known = shaping_digest(made.shaping) in manifest.accepted
    return made.job, [] if known else changes(manifest.shaping, made.shaping), None


def _first_new(path: Path, folder: Path, manifest: Manifest, found: Survey) -> int | None:
    """The first line that was not there at the last run; None where that cannot be told."""
    last = appended_after(path, manifest)
    if last is not None:
        return last + 1
    try:
        pending = loads((folder / "summary.json").read_bytes())["request_counts"]["pending"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return 1 if pending == 0 else None  # everything was answered then: whatever has no record came later


def _groups(now: Standing, first_new: int | None) -> dict[str, int]:
    bare: dict[str, int] = {}
    if first_new is None:
        bare = {"new": 0, "pending": 0, "new_or_pending": now.count(NONE)}
    else:
        before = min(first_new, len(now.marks))
        bare = {"new": now.count(NONE, before), "pending": now.count(NONE, 1, before - 1), "new_or_pending": 0}
    return {**bare, "changed": now.count(CHANGED), "retryable": now.count(RETRYABLE), "outdated": now.count(OUTDATED),
            "failed": now.count(FAILED)}  # fmt: skip


def _examples(job: JobFile, now: Standing) -> Json:
    """A few lines of each kind, as `line 7 'doc-7'`."""
    kinds = {"unanswered": NONE, "changed": CHANGED, "retryable": RETRYABLE, "outdated": OUTDATED, "failed": FAILED}
    lines = {kind: now.lines(mark) for kind, mark in kinds.items()}
    ids: dict[int, str] = {}
    named(job, (line for some in lines.values() for line in some), ids.__setitem__)
    return {kind: [{"line": line, "custom_id": ids.get(line, "")} for line in some] for kind, some in lines.items() if some}


def lines_of(found: Json) -> list[str]:
    """The findings as lines of text."""
    lines = [f"{found['job']} against {found['folder']}: {found['lines']:,} lines, {found['answered']:,} answered"]
    for name, about in _GROUPS.items():
        if found[name]:
            lines.append(f"  {name.replace('_', ' '):<16}{found[name]:>9,}  {about}" + _some(found, name))
    if found["bad_lines"]:
        lines.append(f"  {'bad lines':<16}{found['bad_lines']:>9,}  are never sent; `batchllm check` names them")
    if found["removed"]:
        some = ", ".join(repr(one[:60]) for one in found["removed_examples"])
        lines.append(f"  {'removed':<16}{found['removed']:>9,}  answers belong to lines the job no longer has: {some}")
    for change in found["changed_settings"]:
        lines.append(f"  setting         {change}: a run is refused; --on-change rerun or keep decides")
    if found["settings_not_compared"]:
        lines.append(f"  note            the settings were not compared: {found['settings_not_compared']}")
    if found["at_work"]:
        lines.append(f"  note            a run is at work ({found['at_work']}): all this changes as it goes")
    asks = f"{found['to_ask']:,} lines would be asked" if found["to_do"] else "nothing to do"
    return [*lines, f"  {asks}; nothing was sent"]


def _some(found: Json, name: str) -> str:
    kind = "unanswered" if name in ("new", "pending", "new_or_pending") else name
    if name in ("new", "pending") and found["new"] and found["pending"]:
        return ""  # the examples are of both
    some = [f"line {one['line']} '{one['custom_id'][:40]}'" for one in found["examples"].get(kind, [])[:2]]
    return f": {', '.join(some)}" if some else ""
