"""Groups of arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from batchllm.cloud.address import Remote, is_remote


def place(text: str) -> Path | Remote:
    """The type of an argument that is a path or an address in object storage."""
    if not is_remote(text):
        return Path(text)
    try:
        return Remote(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def job(parser: argparse.ArgumentParser, kind: Callable[[str], Path | Remote] = Path) -> None:
    about = "one request per line; a sidecar JOB.toml may hold its settings; - reads standard input"
    parser.add_argument("job", type=kind, metavar="JOB.jsonl", help=about)


def endpoint(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("endpoint")
    group.add_argument("--provider", metavar="NAME", help="a known endpoint (`batchllm providers`), or one of your [providers]")
    group.add_argument(
        "--base-url",
        action="append",
        metavar="URL",
        help="any OpenAI-compatible server, e.g. http://localhost:8000/v1; "
        "with --provider: that provider's habits at another address; given more than once: several servers as one",
    )
    group.add_argument(
        "--serve",
        metavar="COMMAND",
        help='start a server for this command and stop it with it, e.g. "vllm serve MODEL --port {port}"',
    )
    group.add_argument("--serve-timeout", type=float, metavar="S", help="seconds until it has to answer (default 600)")
    group.add_argument(
        "--api-key-env",
        action="append",
        metavar="VAR",
        help="the environment variable that holds the key (never the key itself); one for all, or one for each --base-url",
    )
    group.add_argument("--model", metavar="M", help="the model of lines that name none")
    group.add_argument("--proxy", metavar="URL", help="an HTTP proxy; the environment's proxy variables are not read")
    about = "what sends the requests (default auto: the cheapest that is installed)"
    group.add_argument("--transport", choices=("auto", "aiohttp", "httptools"), help=about)


def answers(parser: argparse.ArgumentParser) -> None:
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


def media(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("beyond text")
    group.add_argument("--media-root", metavar="DIR", help="lines may name images and sound in this folder (none otherwise)")
    group.add_argument("--image-max-px", type=int, metavar="N", help="shrink local images to N pixels at their longest side")
    group.add_argument("--pack", type=int, metavar="N", help="send N lines of embeddings in one request (default 1)")


def _number_or_auto(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor auto") from None


def pace(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pace")
    about = "at most N requests in flight (default 64); auto: as many as make the server do more, for servers that never refuse"
    group.add_argument("-c", "--concurrency", type=_number_or_auto, metavar="N|auto", help=about)
    about = "with -c auto: at most N (default 1024)"
    group.add_argument("--max-concurrency", type=int, metavar="N", help=about)
    group.add_argument("--rpm", type=float, metavar="N", help="at most N requests a minute")
    group.add_argument("--tpm", type=float, metavar="N", help="at most N tokens a minute, prompt and answer")
    group.add_argument("--max-attempts", type=int, metavar="N", help="attempts a line may spend on errors (default 6)")
    group.add_argument("--timeout", type=float, metavar="S", help="seconds one request may take in all (default 900)")
    group.add_argument("--until", metavar="HH:MM", help="begin nothing new after this time; exit 75 if lines are left")
    about = "begin nothing new after so long (seconds, or 1h30m); exit 75 if lines are left"
    group.add_argument("--max-runtime", metavar="TIME", help=about)
    group.add_argument(
        "--max-cost", type=float, metavar="USD", help="spend no more than this in all runs into the folder together"
    )
    about = "use no more tokens than this, prompts and answers, in all runs into the folder together"
    group.add_argument("--max-total-tokens", type=int, metavar="N", help=about)
    about = "send lines that ask the same only once (default: those at temperature 0; --no-dedupe: none)"
    group.add_argument("--dedupe", action=argparse.BooleanOptionalAction, default=None, help=about)
    about = "send lines with the same long beginning together, for providers that cache prompts"
    group.add_argument("--prefix-order", action="store_true", default=None, help=about)
    about = "tokens to reckon with for an answer whose line sets no limit (for budgets)"
    group.add_argument("--assume-max-tokens", type=int, metavar="N", help=about)


def estimate(parser: argparse.ArgumentParser) -> None:
    about = "a tokenizer.json to count prompts with, for `check` and --dry-run (default: what is at hand)"
    parser.add_argument("--tokenizer", metavar="FILE", help=about)


def scale(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("several machines (docs/scale.md)")
    about = "who sends: this process, or workers on a Ray cluster (default local)"
    group.add_argument("--engine", choices=("local", "ray"), help=about)
    about = "the cluster's head (default: RAY_ADDRESS, or a cluster started on this machine)"
    group.add_argument("--ray-address", metavar="HOST:PORT", help=about)
    group.add_argument("--workers", type=int, metavar="N", help="workers on the cluster (default: one on each node)")


def lane(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("lane")
    about = (
        "live (default): one request a line; batch: the provider's Batch API, usually at half the price within a day; "
        "auto: batches first, and live what would not be back by --until"
    )
    group.add_argument("--lane", choices=("live", "batch", "auto"), help=about)


def output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--quiet", action="store_true", help="no progress and no closing table; errors still show")
    group.add_argument("--json", action="store_true", help="print the summary as one line of JSON on stdout")
    group.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="warning", help="(default: warning)"
    )
