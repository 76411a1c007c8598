"""`batchllm run`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from batchllm.assembly import parts, simulated_endpoint
from batchllm.cli.build_asked import asked_for, job_for_run
from batchllm.cli.check_command import report as check_report
from batchllm.cli.closing import closing
from batchllm.cli.flags import configuration_for, folder_for, without_secrets
from batchllm.cli.live_view import live_view
from batchllm.cli.question import Terminal
from batchllm.cli.remote import Shipment, local_job, shipment_of
from batchllm.cli.report_command import leave_report
from batchllm.cli.stdin_job import spooled
from batchllm.configuration import Configuration
from batchllm.errors import ExitCode, JobError
from batchllm.pipeline import Run
from batchllm.progress import View, shown
from batchllm.redaction import Redactor
from batchllm.serving.server import Server, served, stops_as_endings
from batchllm.strictjson import dumps
from batchllm.supervisor import event_loop, supervise
from batchllm.terminal import CleanFormatter, say
from batchllm.types import Json
from batchllm.watching.watchers import Watched, watched

DESCRIPTORS_BESIDE = 64
"""File descriptors a run needs beside its connections."""


def main(args: Namespace) -> int:
    log(args.log_level)
    shipment = shipment_of(args)
    args.job = spooled(local_job(args.job), args.output)
    configuration, folder = configuration_for(args), folder_for(args)
    bad_rows = 0
    if asked_for(args):
        args.job, bad_rows = job_for_run(args, folder)
    if args.dry_run:
        return check_report(args, configuration)
    configuration = within_descriptors(configuration)
    if shipment is not None:
        shipment.begin(configuration.settings)
    with watched(configuration, args.job, folder, command_line()) as looking:
        return _run(args, configuration, folder, looking, bad_rows, shipment)


def _run(
    args: Namespace, configuration: Configuration, folder: Path, looking: Watched, bad_rows: int, shipment: Shipment | None
) -> int:
    view = live_view(looking.recent) if args.ui and not args.quiet else None
    with simulated_endpoint(configuration) as address, served(configuration, folder) as server:
        address = server.base_url if server is not None else address
        run = Run(parts(configuration, args.job, folder, command=command_line(), base_url=address, watch=looking.watchers))
        log_without(run.parts.route.redactor)
        run.canary.witness = Terminal(quiet=args.quiet)
        run.prepare()
        if shipment is not None:
            shipment.start()
        if not args.quiet:
            _introduce(run)
        summary = _ask(run, server, shipment, quiet=args.quiet, view=view)
    if not args.quiet:
        closing(summary)
    elif run.ending is not None:
        say(f"batchllm: {run.ending}")
    if configuration.settings.report and _is_news(summary, folder):
        leave_report(folder, quiet=args.quiet)
    code = int(summary["ended"]["exit_code"])
    if shipment is not None and not shipment.finish(summary, quiet=args.quiet):
        code = int(ExitCode.TRY_LATER) if code == ExitCode.OK else code
    if args.json:
        _print_json({name: value for name, value in summary.items() if name != "series"})
    code = int(ExitCode.SOME_FAILED) if bad_rows and code == ExitCode.OK else code
    looking.watchers.finished(summary, code)
    return code


def _is_news(summary: Json, folder: Path) -> bool:
    """Whether the run left something to make a page of: not where the disk failed, nor where all was done before."""
    done = summary["this_run"]["completed"] + summary["this_run"]["failed"]
    return summary["ended"]["exit_code"] != ExitCode.DISK and (done > 0 or not (folder / "report.html").exists())


def _ask(run: Run, server: Server | None, shipment: Shipment | None, *, quiet: bool, view: View | None = None) -> Json:
    """Ask for what is pending, and write the end of the run whatever happened in between."""
    try:
        with stops_as_endings():
            if server is not None and run.pending:
                server.start()
            with shown(run, quiet=quiet, view=view), asyncio.Runner(loop_factory=event_loop()) as runner:
                runner.run(_conduct(run, server, shipment))
    except JobError as ending:  # a server that never came to answer, a signal before anything was asked
        run.ending = ending
    except Exception as error:  # what was answered is in the journal; a defect of ours ends like any other stop
        logging.getLogger("batchllm").debug("the defect", exc_info=True)
        run.ending = JobError(ExitCode.SOFTWARE, f"a defect in batchllm itself ({type(error).__name__}); please report it")
    return run.conclude()


async def _conduct(run: Run, server: Server | None, shipment: Shipment | None) -> None:
    loop = asyncio.get_running_loop()
    if server is not None:
        server.on_end(lambda ending: loop.call_soon_threadsafe(run.stop, ending))
    if shipment is not None:
        shipment.courier.on_lost = lambda ending: loop.call_soon_threadsafe(run.stop, ending)
    await supervise(run, signals=True)


def _introduce(run: Run) -> None:
    """What is about to happen, before it costs anything."""
    found, facts = run.survey, run.parts.facts
    if facts.simulated:
        say("SIMULATED: the answers come from the embedded endpoint; nothing is sent anywhere and nothing is billed")
    bad = f", {found.bad_count} bad" if found.bad_count else ""
    skipped = f", {run.tally.skipped} done before" if run.tally.skipped else ""
    say(
        f"{facts.job}: {found.total} lines{bad}{skipped}, {run.pending} to ask → {facts.endpoint} ({facts.model or 'model per line'})"
    )
    for one in found.bad:
        say(f"  line {one.line}: {one.message}")
    if found.bad_count > len(found.bad):
        say(f"  … and {found.bad_count - len(found.bad)} more; all of them will stand in errors.jsonl")
    for sentence in run.parts.preflight.sentences() if run.parts.preflight else ():
        say(f"  warning: {sentence}")
    for notice in run.notices:
        say(f"  note: {notice}")


def within_descriptors(configuration: Configuration) -> Configuration:
    """Raise the soft limit on open files to what the cap needs; where that is refused, lower the cap and say so."""
    settings = configuration.settings
    wanted = settings.most_in_flight
    needed = wanted + DESCRIPTORS_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return configuration
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return configuration
    cap = max(1, soft - DESCRIPTORS_BESIDE)
    say(f"concurrency lowered from {wanted} to {cap}: this machine allows {soft} open files (ulimit -n)")
    lowered = settings.model_copy(update={"max_concurrency" if settings.concurrency == "auto" else "concurrency": cap})
    return Configuration(lowered, configuration.environment, configuration.origin)


def command_line() -> str:
    """The command as it can be pasted again, but for URLs that are secrets."""
    name = Path(sys.argv[0]).name
    called = ["python", "-m", "batchllm"] if name == "__main__.py" else [name]
    return shlex.join([*called, *without_secrets(sys.argv[1:])])


def log(level: str) -> None:
    logging.basicConfig(stream=sys.stderr, level=level.upper())
    logging.raiseExceptions = False  # a closed stderr does not stop a run
    log_without(Redactor(None))


def log_without(redactor: Redactor) -> None:
    for handler in logging.root.handlers:
        handler.setFormatter(CleanFormatter(redactor))


def _print_json(value: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(dumps(value).decode(), flush=True)
