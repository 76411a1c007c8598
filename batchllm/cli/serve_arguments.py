"""Arguments of `serve`."""

from __future__ import annotations

import argparse

from batchllm.cli import groups


def serve(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n"
        "  a token for a tenant (printed once; the file keeps its hash only)\n"
        "      batchllm serve --tokens tokens.toml --new-token alice\n"
        "  a Batch API in front of a vLLM\n"
        "      batchllm serve --provider vllm --base-url http://localhost:8000/v1 --tokens tokens.toml\n"
        "  to try it, on this machine alone, without a key or a token\n"
        "      batchllm serve --provider simulator --no-tokens\n\n"
        "  client = OpenAI(base_url='http://127.0.0.1:8300/v1', api_key=TOKEN); client.batches.create(…) works as at OpenAI.\n\n"
        "exit codes: 0 stopped by a signal, with nothing lost · 2 bad usage · 65 --data is no gateway's folder · 74 disk failed ·\n"
        "  75 another gateway has the folder"
    )
    groups.endpoint(parser)
    group = parser.add_argument_group("gateway")
    group.add_argument("--host", metavar="ADDRESS", help="the address to listen on (default: 127.0.0.1)")
    group.add_argument("--port", type=int, metavar="N", help="the port, 0 for a free one (default: 8300)")
    group.add_argument("--data", metavar="DIR", help="the folder of its files and batches (default: gateway)")
    group.add_argument("--tokens", metavar="FILE", help="the hashes of the tokens that are let in, a table for each tenant")
    group.add_argument("--no-tokens", action="store_true", help="let in everybody on this machine; loopback only")
    group.add_argument("--new-token", metavar="NAME", help="add a tenant to --tokens, print the token, and end")
    group.add_argument("--running", type=int, metavar="N", help="batches that run at once, at most (default: 32)")
    pace = parser.add_argument_group("pace, of all batches together")
    pace.add_argument("-c", "--concurrency", type=int, metavar="N", help="at most N requests in flight (default 64)")
    pace.add_argument("--rpm", type=float, metavar="N", help="at most N requests a minute")
    pace.add_argument("--tpm", type=float, metavar="N", help="at most N tokens a minute, prompt and answer")
    pace.add_argument("--max-attempts", type=int, metavar="N", help="attempts a line may spend on errors (default 6)")
    pace.add_argument("--timeout", type=float, metavar="S", help="seconds one request may take in all (default 900)")
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="warning", help="(default: warning)"
    )
    parser.set_defaults(job=None)
