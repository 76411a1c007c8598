"""`batchllm ask`: one prompt, one answer on stdout."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

from batchllm.assembly import line_reader
from batchllm.cli.asking import ask, configuration_of, connected
from batchllm.cli.live import live_on
from batchllm.errors import ExitCode, JobError
from batchllm.records import Record
from batchllm.strictjson import dumps
from batchllm.terminal import say
from batchllm.types import BadLine


def main(args: Namespace) -> int:
    configuration = configuration_of(args)
    line = {"prompt": prompt_of(args.prompt, configuration.settings.sizes.line)}
    if args.system:
        line["system"] = args.system
    request = line_reader(configuration.settings).read(1, dumps(line))
    if isinstance(request, BadLine):
        raise JobError(ExitCode.USAGE, request.message)
    with connected(configuration, "batchllm ask") as made:
        live = None if args.json else live_on(sys.stdout)
        if live is not None and made.route.stream is None:
            made = replace(made, route=replace(made.route, stream=True))
        with asyncio.Runner() as runner:
            outcome = runner.run(ask(made, request, live))
    record = outcome.record
    if live is not None:
        live.finish(record.facts.get("reasoning"), record.text)
    elif text := record.to_json().decode().rstrip("\n") if args.json else whole(record):
        print(text, flush=True)
    if not record.ok:
        say(f"batchllm: {record.code}: {record.message}")
    return int(outcome.exit_code)


def whole(record: Record) -> str:
    """The answer as data: untouched. A reply that is no text (embeddings) is its body."""
    if record.text is not None:
        return record.text
    return record.reply.decode() if record.ok and record.reply is not None else ""


def prompt_of(words: Sequence[str], limit: int) -> str:
    """The words of the command line, and what comes through a pipe behind them. Raises `JobError` (2)."""
    piped = _piped(limit)
    text = "\n\n".join(part for part in (" ".join(words), piped) if part.strip())
    if not text:
        raise JobError(ExitCode.USAGE, 'there is no prompt; say `batchllm ask "…"`, or send one through a pipe')
    return text


def _piped(limit: int) -> str:
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise JobError(ExitCode.USAGE, f"what comes through the pipe is longer than {limit:,} bytes (sizes.line)")
    try:
        return data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise JobError(ExitCode.USAGE, f"what comes through the pipe is not valid UTF-8 at byte {error.start + 1}") from None
