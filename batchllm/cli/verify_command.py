"""`batchllm verify`: one job against an output folder, or against results of another tool."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from batchllm.admission import recorded_fault
from batchllm.assembly import job_file
from batchllm.cli.remote import Output, local_job, output_to_read
from batchllm.cloud.address import Remote
from batchllm.configuration import load
from batchllm.errors import ExitCode, JobError
from batchllm.findings import HARMLESS, MEANING, Finding, Findings, Flaw
from batchllm.journal.lock import FolderLock, holder
from batchllm.journal.manifest import Manifest, read_manifest
from batchllm.journal.repair import repair
from batchllm.journal.rescue import NAME as RESCUE
from batchllm.journal.storage import Storage, cannot_write
from batchllm.reports.foreign import ForeignVerification
from batchllm.reports.verify import Verification
from batchllm.settings import checked
from batchllm.sources.raw_lines import open_job
from batchllm.standing import Wanted, wanted_schemas
from batchllm.strictjson import loads
from batchllm.survey import sha256
from batchllm.terminal import say
from batchllm.types import Json
from batchllm.validation import load_schema


def main(args: Namespace) -> int:
    args.job = local_job(args.job)
    open_job(args.job).close()
    args.results = [local_job(path) if _is_remote_file(path) else path for path in args.results]
    folders = [path for path in args.results if isinstance(path, Remote) or not path.is_file()]
    if folders and len(args.results) > 1:
        raise JobError(ExitCode.USAGE, f"{folders[0]} is no file: name one output folder, or one or more files")
    if not folders and args.repair:
        raise JobError(ExitCode.USAGE, "--repair mends output folders; these are files")
    if args.repair and isinstance(folders[0], Remote):
        raise JobError(ExitCode.USAGE, f"--repair mends local folders, and nothing is written to {folders[0]}")
    verdict = _folder(args.job, output_to_read(folders[0]), mend=args.repair) if folders else _files(args.job, args.results)
    if args.json:
        print(orjson.dumps(verdict).decode())
    else:
        for line in verdict_lines(verdict):
            say(line, sys.stdout)
    return int(verdict["exit_code"])


# -- what is held against the job --------------------------------------------------------------------------------


def _is_remote_file(place: Path | Remote) -> bool:
    return isinstance(place, Remote) and place.name.endswith(".jsonl")


def _folder(job: Path, output: Output, *, mend: bool) -> Json:
    folder, storage = output.folder, Storage()
    manifest = manifest_of(folder)
    if not mend:
        return verify_folder(job, folder, manifest, output.at_work or holder(storage, folder))
    try:
        lock = FolderLock(storage, folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    try:
        repaired = repair(storage, folder)
        return verify_folder(job, folder, manifest, None, repaired)
    finally:
        lock.close()


def manifest_of(folder: Path) -> Manifest:
    """The folder's `job.json`. Raises `JobError` (65) for what is no output folder."""
    if not folder.is_dir():
        raise JobError(ExitCode.BAD_DATA, f"{folder}: there is no such folder or file")
    manifest = read_manifest(folder)
    if manifest is None:
        raise JobError(ExitCode.BAD_DATA, f"{folder} is no output folder of batchllm: there is no job.json in it")
    return manifest


def verify_folder(job: Path, folder: Path, manifest: Manifest, at_work: str | None, repaired: Sequence[str] = ()) -> Json:
    """Everything `verify` says of a folder. The job is read with the settings of its last run, as `job.json` has them."""
    try:
        # What the lists of prices said then stands beside the settings, and is none.
        settings = checked({name: value for name, value in manifest.settings.items() if name != "prices_used"}, {})
    except JobError as error:
        raise JobError(ExitCode.BAD_DATA, f"{folder}/job.json: its settings cannot be read: {error}") from None
    findings = Findings()
    wanted = _wanted(job, manifest, findings)
    found = Verification(
        job_file(settings, job, recorded_fault(settings, manifest.shaping)), folder, manifest, wanted, findings
    )
    found.run(at_work=at_work is not None)
    summary = _summary(folder, findings)
    if at_work is None:
        if (folder / RESCUE).is_file():
            _not_checked(findings, f"{RESCUE} holds answers that the next run takes back, or --repair")
        found.accept_removed((summary or {}).get("removed_lines"))
        changed = sha256(job) != manifest.job.get("sha256")
        found.check_totals(summary, "the job file has changed since the last run" if changed else None)
    else:
        _not_checked(findings, f"the totals: a run is at work ({at_work})")
    checks = {"results": found.results, "errors": found.errors, "attempts": found.attempts, "schema": found.rechecked}
    command = summary["ended"]["command"] if summary else None
    return {
        **_verdict(job, [folder], findings, found.counts(), checks),
        "simulated": manifest.simulated,
        "at_work": at_work,
        "repaired": list(repaired),
        "command": command,
    }


def _summary(folder: Path, findings: Findings) -> Json | None:
    try:
        summary = loads((folder / "summary.json").read_bytes())
        summary["ended"]["command"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        findings.add(Flaw.TOTALS, Finding("it cannot be read; the next run writes it anew", file="summary.json"))
        return None
    return dict(summary)


def _not_checked(findings: Findings, why: str) -> None:
    findings.add(Flaw.NOT_CHECKED, Finding(why))


def _wanted(job: Path, manifest: Manifest, findings: Findings) -> Wanted:
    """Which lines need a `parsed`, and the schemas to hold it to once more where the settings still lead to them."""
    shapes = manifest.shaping.get("schema") or {}
    if not shapes:
        return wanted_schemas((), {})
    try:
        settings = load(job).settings
        specs = {**settings.schemas, **({"": settings.schema_} if settings.schema_ else {})}
        schemas = {name: load_schema(specs[name], Path()) for name in shapes if name in specs}
    except JobError as error:
        _not_checked(findings, f"answers against the schema once more: {error}")
        return wanted_schemas(shapes, {})
    same = {name: schema for name, schema in schemas.items() if schema.json_schema == shapes[name]}
    for name in shapes.keys() - same.keys():
        what = f"the schema {name!r}" if name else "the schema"
        _not_checked(findings, f"answers against {what} once more: it is not the one of the last run")
    return wanted_schemas(shapes, same)


def _files(job: Path, files: Sequence[Path]) -> Json:
    found = ForeignVerification(job, files)
    found.run()
    verdict = _verdict(job, files, found.findings, found.counts(), {"records": found.records})
    return {**verdict, "failures": dict(found.failures.most_common(20))}


# -- what is said ------------------------------------------------------------------------------------------------


def _verdict(job: Path, results: Sequence[Path], findings: Findings, counts: Json, checked: Json) -> Json:
    word, code = "proved", ExitCode.OK
    if findings.refuted:
        word, code = "refuted", ExitCode.SOME_FAILED
    if findings.damaged:
        word, code = "damaged", ExitCode.BAD_DATA
    return {
        "verdict": word,
        "exit_code": int(code),
        "job": str(job),
        "results": [str(path) for path in results],
        "request_counts": counts,
        "checked": checked,
        "findings": findings.as_json(),
    }


def verdict_lines(verdict: Json) -> list[str]:
    """The verdict as lines of text."""
    counts = verdict["request_counts"]
    where = " and ".join(verdict["results"])
    said = "every line has exactly one record" if verdict["exit_code"] == 0 else "what does not hold follows"
    mark = "SIMULATED · " if verdict.get("simulated") else ""
    lines = [f"repaired: {notice}" for notice in verdict.get("repaired", ())]
    lines.append(f"{mark}{verdict['verdict'].upper()}: {verdict['job']} against {where}: {said}")
    parts = [f"{counts['completed']:,} answered", f"{counts['failed']:,} failed", f"{counts['pending']:,} without a record"]
    lines.append(f"  lines     {counts['total']:,}: " + ", ".join(parts))
    read = ", ".join(f"{count:,} {name}" for name, count in verdict["checked"].items() if name != "schema")
    again = verdict["checked"].get("schema")
    lines.append(f"  read      {read}" + (f"; {again:,} held to their schema once more" if again else ""))
    failures = verdict.get("failures")
    if failures:
        lines.append("  failed    " + ", ".join(f"{count:,} {code}" for code, count in failures.items()))
    for name, group in verdict["findings"].items():
        lines += _group(name, group)
    if verdict.get("at_work"):
        lines.append(f"  at work   {verdict['at_work']}: this is a glance at a run that goes on")
    elif verdict.get("command") and verdict["exit_code"]:
        lines.append(f"  go on     {verdict['command']}")
    return lines


def _group(name: str, group: dict[str, Any]) -> list[str]:
    sign = "-" if Flaw(name) in HARMLESS else "!"
    lines = [f"  {sign} {group['count']:,} {MEANING[Flaw(name)]}"]
    lines += [f"      {_example(one)}" for one in group["examples"]]
    more = group["count"] - len(group["examples"])
    return [*lines, f"      … and {more:,} more"] if more > 0 else lines


def _example(one: Json) -> str:
    places = []
    if one["line"]:
        places.append(f"line {one['line']}")
    if one["custom_id"]:
        places.append(f"'{one['custom_id'][:80]}'")
    if one["file"]:
        places.append(f"{one['file']}:{one['at']}" if one["at"] else one["file"])
    return f"{' '.join(places)}: {one['message'][:300]}" if places else one["message"][:300]
