"""Every command's arguments and its help. Light: this is all that `--help` imports."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

_RUN_EXAMPLES = """\
examples:
  the job that comes with the project, without a key or a network
      batchllm run jobs/extract.jsonl
  a job of your own against OpenAI (the key stands in OPENAI_API_KEY)
      batchllm run reviews.jsonl --provider openai --model gpt-4o-mini
  a vLLM of your own, answers checked against a pydantic model
      batchllm run reviews.jsonl --base-url http://localhost:8000/v1 --model qwen3 --schema schemas.py:Review
  the first ten lines only, then everything (finished lines are never asked twice)
      batchllm run reviews.jsonl --limit 10
      batchllm run reviews.jsonl
  each row of a table, by a prompt template: the job is built first (`batchllm build --help` tells more)
      batchllm run reviews.csv --prompt 'Translate into English: {{ text }}' --model gpt-4o-mini
  after any stop, crash or deadline, go on where it stopped: the same command again

exit codes: 0 every line answered · 1 some failed for good · 2 bad usage, nothing sent · 65 no usable line, or the
  folder is another job's · 69 endpoint unavailable · 74 disk failed · 75 run again later · 77 account refused ·
  129/130/143 stopped by a signal. After 69, 74, 75, 77 and signals the same command goes on.
"""


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """An argument nobody knows may hold a key: it is named without its value, and cron mails only the name."""
        known, unknown, words = message.partition("unrecognized arguments: ")
        if unknown:
            flags = [word.partition("=")[0] for word in words.split() if word.startswith("-")]
            message = known + unknown + (" ".join(flags) or "words that belong to no option")
            if any("key" in flag or "token" in flag for flag in flags):
                message += " (keys never stand on the command line: set OPENAI_API_KEY, or name a variable with --api-key-env)"
        super().error(message)


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
    for name, (about, fill) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        command.set_defaults(module=f"{name}_command")
        if name == chosen:
            fill(command)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from batchllm import __version__

        print(f"batchllm {__version__}")
        parser.exit(0)


def _job(parser: argparse.ArgumentParser) -> None:
    about = "one request per line; a sidecar JOB.toml may hold its settings; - reads standard input"
    parser.add_argument("job", type=Path, metavar="JOB.jsonl", help=about)


def _endpoint(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("endpoint")
    group.add_argument("--provider", metavar="NAME", help="a known endpoint (`batchllm providers`), or one of your [providers]")
    group.add_argument(
        "--base-url",
        metavar="URL",
        help="any OpenAI-compatible server, e.g. http://localhost:8000/v1; "
        "with --provider: that provider's habits at another address",
    )
    group.add_argument(
        "--serve",
        metavar="COMMAND",
        help='start a server for this command and stop it with it, e.g. "vllm serve MODEL --port {port}"',
    )
    group.add_argument("--serve-timeout", type=float, metavar="S", help="seconds until it has to answer (default 600)")
    group.add_argument(
        "--api-key-env", metavar="VAR", help="the environment variable that holds the key (never the key itself)"
    )
    group.add_argument("--model", metavar="M", help="the model of lines that name none")
    group.add_argument("--proxy", metavar="URL", help="an HTTP proxy; the environment's proxy variables are not read")
    about = "what sends the requests (default auto: the cheapest that is installed)"
    group.add_argument("--transport", choices=("auto", "aiohttp", "httptools"), help=about)


def _answers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("answers")
    group.add_argument("--schema", metavar="FILE.py:Model | FILE.json", help="check each answer against this schema")
    group.add_argument(
        "--structured", choices=("auto", "json_schema", "json_object", "tool", "prompt"), help="how the schema is asked for"
    )
    group.add_argument("--reask", type=int, metavar="N", help="times to ask again with what was wrong (default 1)")
    group.add_argument("--escalate", metavar="MODEL", help="ask this model once for what is still invalid after that")
    group.add_argument(
        "--stream", action=argparse.BooleanOptionalAction, default=None, help="stream answers: for long ones behind gateways"
    )


def _media(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("beyond text")
    group.add_argument("--media-root", metavar="DIR", help="lines may name images and sound in this folder (none otherwise)")
    group.add_argument("--image-max-px", type=int, metavar="N", help="shrink local images to N pixels at their longest side")
    group.add_argument("--pack", type=int, metavar="N", help="send N lines of embeddings in one request (default 1)")


def _pace(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pace")
    group.add_argument("-c", "--concurrency", type=int, metavar="N", help="at most N requests in flight (default 64)")
    group.add_argument("--rpm", type=float, metavar="N", help="at most N requests a minute")
    group.add_argument("--tpm", type=float, metavar="N", help="at most N tokens a minute, prompt and answer")
    group.add_argument("--max-attempts", type=int, metavar="N", help="attempts a line may spend on errors (default 6)")
    group.add_argument("--timeout", type=float, metavar="S", help="seconds one request may take in all (default 900)")
    group.add_argument("--until", metavar="HH:MM", help="begin nothing new after this time; exit 75 if lines are left")
    group.add_argument(
        "--max-cost", type=float, metavar="USD", help="spend no more than this in all runs into the folder together"
    )
    about = "tokens to reckon with for an answer whose line sets no limit (for --max-cost)"
    group.add_argument("--assume-max-tokens", type=int, metavar="N", help=about)


def _run(parser: argparse.ArgumentParser) -> None:
    from batchllm.cli import table_arguments

    parser.epilog = _RUN_EXAMPLES
    _job(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="the output folder (default: outputs/<job's stem>)")
    _endpoint(parser)
    _answers(parser)
    _media(parser)
    _pace(parser)
    group = parser.add_argument_group("what is done")
    group.add_argument("--limit", type=int, metavar="N", help="only the first N lines of the job")
    group.add_argument("--retry-failed", action="store_true", default=None, help="ask failed lines again too")
    group.add_argument("--on-change", choices=("refuse", "rerun", "keep"), help="if settings changed since the last run")
    group.add_argument(
        "--fresh", action="store_true", default=None, help="begin anew; the old folder is moved aside, never deleted"
    )
    group.add_argument("--strict", action="store_true", default=None, help="send nothing if any line is bad (exit 65)")
    group.add_argument(
        "--ordered", action="store_true", default=None, help="also write results.ordered.jsonl in the job's order"
    )
    group.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="leave report.html in the folder at the end (default: yes)",
    )
    group.add_argument("--dry-run", action="store_true", help="read, check and count everything; send nothing")
    table_arguments.run_table(parser)
    _output(parser)


def _output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--quiet", action="store_true", help="no progress and no closing table; errors still show")
    group.add_argument("--json", action="store_true", help="print the summary as one line of JSON on stdout")
    group.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="warning", help="(default: warning)"
    )


def _check(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example:\n  batchllm check jobs/extract.jsonl\n\n"
        "exit codes: 0 every line is good · 1 some are bad · 2 bad settings · 65 none is usable"
    )
    _job(parser)
    _endpoint(parser)
    _answers(parser)
    _media(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as one line of JSON on stdout")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N lines")


def _status(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example:\n  batchllm status outputs/extract"
    parser.add_argument("folder", type=Path, metavar="DIR", help="an output folder, also of a job that is running")
    parser.add_argument("--json", action="store_true", help="print it as one line of JSON on stdout")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm report outputs/extract                      (writes outputs/extract/report.html)\n"
        "  batchllm report outputs/extract -o /tmp/extract.html\n"
        "  batchllm report outputs/model-a outputs/model-b      (two runs side by side, in comparison.html)\n\n"
        "The page is one file, opens without a network and loads nothing. Its path is printed.\n\n"
        "exit codes: 0 written · 65 no run was made into this folder · 74 the page could not be written"
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="an output folder, also of a job that is running")
    parser.add_argument(
        "other", type=Path, nargs="?", metavar="DIR", help="another one, to compare: what changed from the first to this"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write the page")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm verify jobs/extract.jsonl outputs/extract\n"
        "  batchllm verify job.jsonl vllm-output.jsonl           (results of another tool, in the Batch API's form)\n"
        "  batchllm verify job.jsonl output.jsonl errors.jsonl   (files that belong together)\n\n"
        "exit codes: 0 proved · 1 refuted, with a list of what does not hold · 65 damaged or unreadable ·\n"
        "  75 --repair while a run is at work"
    )
    _job(parser)
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="DIR | FILE", help="an output folder, or Batch output files of any tool"
    )
    parser.add_argument("--repair", action="store_true", help="move damaged lines aside, so that a run asks for them again")
    parser.add_argument("--json", action="store_true", help="print the findings as one line of JSON on stdout")


def _providers(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm providers\n  batchllm providers deepseek\n"
        "  batchllm providers --ping deepseek --model deepseek-chat\n"
        "  batchllm providers --ping --base-url http://localhost:8000/v1\n\n"
        "exit codes of --ping: 0 it answers · 1 it refuses · 2 bad usage · 69 nobody is there · 77 the key is refused"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="one endpoint, in full")
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")
    group = parser.add_argument_group("ping")
    group.add_argument("--ping", action="store_true", help="find out with five tiny requests what of an endpoint works")
    group.add_argument("--base-url", metavar="URL", help="ping this address")
    group.add_argument("--model", metavar="M", help="the model to ask (default: the settings', or the first listed)")
    group.add_argument("--api-key-env", metavar="VAR", help="the environment variable that holds the key")
    group.add_argument("--proxy", metavar="URL", help="an HTTP proxy")
    group.add_argument("--timeout", type=float, metavar="S", help="seconds each request may take (default 60)")


def _talk(parser: argparse.ArgumentParser) -> None:
    _endpoint(parser)
    _answers(parser)
    group = parser.add_argument_group("request")
    group.add_argument("--system", metavar="TEXT", help="the system prompt")
    group.add_argument(
        "--set", action="append", metavar="NAME=VALUE", help="a field of the request (temperature=0); repeatable"
    )
    group.add_argument("--timeout", type=float, metavar="S", help="seconds one request may take in all (default 900)")


def _chat(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm chat --provider simulator --model m\n"
        "  batchllm chat --base-url http://localhost:8000/v1 --model qwen3\n"
        "  batchllm chat --model m < script.txt        (each line is a turn; the answers go to stdout)\n\n"
        "/help in the conversation lists its commands; Ctrl-C stops an answer, Ctrl-D ends."
    )
    _talk(parser)


def _ask(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'examples:\n  batchllm ask "Name three rivers." --model gpt-4o-mini\n  cat text.md | batchllm ask "Summarise:"\n\n'
        "exit codes: 0 answered · 1 not answered · 2 bad usage · 69 endpoint unavailable · 75 it asks to wait · 77 account refused"
    )
    parser.add_argument("prompt", nargs="*", metavar="PROMPT", help="what to ask; what comes through a pipe is put behind it")
    parser.add_argument("--json", action="store_true", help="print the whole record, as a run would keep it")
    _talk(parser)


def _simulate(parser: argparse.ArgumentParser) -> None:
    from batchllm.simulator import arguments

    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="the port, 0 for a free one (default: 8080)")
    arguments.add_arguments(parser)


def _build(parser: argparse.ArgumentParser) -> None:
    from batchllm.cli import table_arguments

    table_arguments.build(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    from batchllm.cli import table_arguments

    table_arguments.export(parser)


def _jsonl(parser: argparse.ArgumentParser) -> None:
    from batchllm.cli import table_arguments

    table_arguments.jsonl(parser)


Fill = Callable[[argparse.ArgumentParser], None]

COMMANDS: dict[str, tuple[str, Fill]] = {
    "run": ("send every line of a job and keep every answer", _run),
    "check": ("read and check every line of a job; send nothing", _check),
    "status": ("say where a run stands, also while it runs", _status),
    "verify": ("prove that every line has exactly one record, or say which do not", _verify),
    "report": ("make one HTML page of a run, or of two side by side", _report),
    "build": ("make a job out of a table and a prompt template", _build),
    "export": ("make a table out of the answers, in the job's order", _export),
    "jsonl": ("look into, check, cut, join and change JSONL files", _jsonl),
    "chat": ("talk to the configured endpoint, to try a prompt", _chat),
    "ask": ("ask one prompt and print the answer", _ask),
    "providers": ("list the endpoints known by name; --ping tells what of one works", _providers),
    "simulate": ("serve the embedded endpoint on loopback", _simulate),
}
