"""`batchllm cron-example`: what a nightly run of this job looks like for cron and systemd, from this folder."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from argparse import Namespace
from pathlib import Path

from batchllm.cli.arguments import build_parser
from batchllm.cli.flags import configuration_for
from batchllm.errors import ExitCode, JobError
from batchllm.watching.nightly import Nightly, crontab, logrotate, service, timer
from batchllm.watching.watchers import batch_name

SECRET = ("webhook", "health_url")


def main(args: Namespace) -> int:
    night = nightly(args)
    try:
        text = example(night)
    except ValueError as error:
        raise JobError(ExitCode.USAGE, f"cron-example: {error}") from None
    print(text, end="")
    return int(ExitCode.OK)


def nightly(args: Namespace) -> Nightly:
    """The night that these arguments describe. Raises `JobError` (2) for settings that a run would refuse."""
    if str(args.job) == "-":
        raise JobError(ExitCode.USAGE, "cron-example: a nightly job is a file; standard input is empty under cron")
    if not args.job.is_file():
        raise JobError(ExitCode.USAGE, f"cron-example: {args.job} is no file; run this in the folder the job is run from")
    for name in SECRET:
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise JobError(ExitCode.USAGE, f"{option} is a secret: put BATCHLLM_{name.upper()}=URL into the environment file")
    settings = configuration_for(args).settings
    folder = Path.cwd()
    env_file = args.env_file.absolute() if args.env_file is not None else None
    return Nightly(
        batch_name(args.job),
        (*program(), *run_words(args)),
        folder,
        args.at,
        settings.until,
        settings.timeouts.drain + (settings.on_finish_timeout if settings.on_finish else 0.0),
        None if env_file == folder / ".env" else env_file,
        args.mailto,
        args.every_hour,
    )


def program() -> list[str]:
    """This batchllm, as it can be started from anywhere without a PATH."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [sys.executable, "-m", "batchllm"]
    found = shutil.which(str(called)) or shutil.which("batchllm")
    return [str(Path(found).absolute())] if found else [sys.executable, "-m", "batchllm"]


def run_words(args: Namespace) -> list[str]:
    """`run` and everything that was given for it: what differs from its default, in the order of its help."""
    words = ["run", str(args.job)]
    for action in _actions():
        value = getattr(args, action.dest, None)
        if not action.option_strings or value is None or value == action.default:
            continue
        words += _option(action, value)
    return words if args.quiet else [*words, "--quiet"]


def _actions() -> list[argparse.Action]:
    """The arguments of `run`."""
    commands = next(one for one in build_parser(["run"])._actions if isinstance(one, argparse._SubParsersAction))
    return [one for one in commands.choices["run"]._actions if one.dest != "help"]


def _option(action: argparse.Action, value: object) -> list[str]:
    name = action.option_strings[-1]
    if isinstance(action, argparse.BooleanOptionalAction):
        return [action.option_strings[0] if value else action.option_strings[-1]]
    if action.nargs == 0:
        return [name]
    text = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return [name, *text]


def example(night: Nightly) -> str:
    """Everything that is printed. Raises ValueError for times that do not fit."""
    env_file = night.env_file or night.folder / ".env"
    key = f"(umask 077; test -e {shlex.quote(str(env_file))} || echo 'OPENAI_API_KEY=' > {shlex.quote(str(env_file))})"
    units = f"~/.config/systemd/user/{night.unit}"
    return (
        f"# Nightly: {shlex.join(night.command)}\n"
        f"# Try it by hand first, in {night.folder}. docs/cron.md tells what is behind each line.\n\n"
        f"# --- the key, readable by you alone ---\n# {key}\n\n"
        f"# --- crontab -e ---\n{crontab(night)}\n"
        f"# --- {units}.service ---\n{service(night)}\n"
        f"# --- {units}.timer ---\n{timer(night)}\n"
        f"# systemctl --user daemon-reload && systemctl --user enable --now {shlex.quote(night.unit)}.timer\n"
        f"# loginctl enable-linger   (so that it runs while you are not logged in)\n\n"
        f"# --- /etc/logrotate.d/{night.unit} (for the crontab's log) ---\n{logrotate(night)}"
    )
