"""The commands, each with where its arguments stand. Light: this, and one file of arguments, is all that `--help` imports."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn, cast

_KEYS = frozenset({"key", "apikey", "token", "secret"})


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        self.options: tuple[str, ...] = ()
        """The options of the command that was chosen."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """An argument nobody knows may hold a key: it is named without its value, and cron mails only the name."""
        known, unknown, words = message.partition("unrecognized arguments: ")
        if unknown:
            flags = [word.partition("=")[0] for word in words.split() if word.startswith("-")]
            message = known + unknown + (" ".join(map(self._with_nearest, flags)) or "words that belong to no option")
            if any(_KEYS.intersection(flag.split("-")) for flag in flags):
                message += " (keys never stand on the command line: set OPENAI_API_KEY, or name a variable with --api-key-env)"
        super().error(message)

    def _with_nearest(self, flag: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(flag, self.options, n=1, cutoff=0.7)
        return f"{flag} (did you mean {near[0]}?)" if near else flag


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The whole command line. Only the command that `argv` names gets its arguments: the others cost nothing."""
    parser = _Parser(
        prog="batchllm",
        description="Send a file of prompts to an OpenAI-compatible endpoint: nothing lost, nothing paid twice.",
        epilog="example:\n  batchllm run jobs/extract.jsonl\n\n`batchllm COMMAND --help` tells more, with examples.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen = next((word for word in argv if word in COMMANDS), None)
    for name, (about, where) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        command.set_defaults(module=f"{name.replace('-', '_')}_command")
        if name == chosen:
            _fill(where)(command)
            parser.options = tuple(command._option_string_actions)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from batchllm import __version__

        print(f"batchllm {__version__}")
        parser.exit(0)


def _fill(where: str) -> Callable[[argparse.ArgumentParser], None]:
    """The function that gives a command its arguments, loaded when the command is chosen."""
    module, _, name = where.partition(":")
    return cast("Callable[[argparse.ArgumentParser], None]", getattr(import_module(f"batchllm.cli.{module}"), name))


COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("send every line of a job and keep every answer", "job_arguments:run"),
    "check": ("read and check every line of a job; send nothing", "job_arguments:check"),
    "status": ("say where a run stands, also while it runs", "folder_arguments:status"),
    "diff": ("say what a run would find changed since the last one; send nothing", "watch_arguments:diff"),
    "ctl": ("pause, resume, throttle or stop a run that is at work", "watch_arguments:ctl"),
    "top": ("draw a run that is at work", "watch_arguments:top"),
    "cron-example": ("print crontab, systemd and logrotate lines for a nightly run", "watch_arguments:cron_example"),
    "cancel": ("stop the batches of a run and keep what they have answered", "folder_arguments:cancel"),
    "verify": ("prove that every line has exactly one record, or say which do not", "folder_arguments:verify"),
    "report": ("make one HTML page of a run, or of two side by side", "folder_arguments:report"),
    "build": ("make a job out of a table and a prompt template", "table_arguments:build"),
    "export": ("make a table out of the answers, in the job's order", "table_arguments:export"),
    "jsonl": ("look into, check, cut, join and change JSONL files", "jsonl_arguments:fill"),
    "chat": ("talk to the configured endpoint, to try a prompt", "talk_arguments:chat"),
    "ask": ("ask one prompt and print the answer", "talk_arguments:ask"),
    "providers": ("list the endpoints known by name; --ping tells what of one works", "talk_arguments:providers"),
    "serve": ("offer a Batch API in front of any endpoint", "serve_arguments:serve"),
    "simulate": ("serve the embedded endpoint on loopback", "talk_arguments:simulate"),
}
