"""Arguments of the commands that talk to an endpoint beside any job: `chat`, `ask`, `providers`, `simulate`."""

from __future__ import annotations

import argparse

from batchllm.cli import groups


def chat(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n  batchllm chat --provider simulator --model m\n"
        "  batchllm chat --base-url http://localhost:8000/v1 --model qwen3\n"
        "  batchllm chat --model m < script.txt        (each line is a turn; the answers go to stdout)\n\n"
        "/help in the conversation lists its commands; Ctrl-C stops an answer, Ctrl-D ends."
    )
    _talk(parser)


def ask(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'examples:\n  batchllm ask "Name three rivers." --model gpt-4o-mini\n  cat text.md | batchllm ask "Summarise:"\n\n'
        "exit codes: 0 answered · 1 not answered · 2 bad usage · 69 endpoint unavailable · 75 it asks to wait · 77 account refused"
    )
    parser.add_argument("prompt", nargs="*", metavar="PROMPT", help="what to ask; what comes through a pipe is put behind it")
    parser.add_argument("--json", action="store_true", help="print the whole record, as a run would keep it")
    _talk(parser)


def _talk(parser: argparse.ArgumentParser) -> None:
    groups.endpoint(parser)
    groups.answers(parser)
    group = parser.add_argument_group("request")
    group.add_argument("--system", metavar="TEXT", help="the system prompt")
    group.add_argument(
        "--set", action="append", metavar="NAME=VALUE", help="a field of the request (temperature=0); repeatable"
    )
    group.add_argument("--timeout", type=float, metavar="S", help="seconds one request may take in all (default 900)")


def providers(parser: argparse.ArgumentParser) -> None:
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


def simulate(parser: argparse.ArgumentParser) -> None:
    from batchllm.simulator import arguments

    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="the port, 0 for a free one (default: 8080)")
    arguments.add_arguments(parser)
