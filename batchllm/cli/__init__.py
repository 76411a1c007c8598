"""The command line. Nothing heavy is imported before a command that needs it is chosen."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from batchllm.cli.arguments import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run one command, return the exit code. Every foreseen error is one sentence on stderr."""
    try:
        return _main(argv)
    finally:
        _flush()


def _flush() -> None:
    """Write what is still buffered; nowhere, if nobody listens any more: over that Python would end with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


def _main(argv: Sequence[str] | None) -> int:
    parser = build_parser(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(argv)
    from batchllm.errors import ExitCode, JobError

    command = cast("Callable[[object], int]", import_module(f"batchllm.cli.{args.module}").main)
    try:
        return command(args)
    except JobError as error:
        from batchllm.terminal import say

        say(f"batchllm: {error}")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.SIGINT)
    except BrokenPipeError:
        return int(ExitCode.OK)
    except Exception as error:  # the last line of defence: a defect of ours is one sentence too
        import logging

        from batchllm.terminal import say

        logging.getLogger("batchllm").debug("the defect", exc_info=True)
        say(f"batchllm: a defect in batchllm itself ({type(error).__name__}); what was answered is kept, please report it")
        return int(ExitCode.SOFTWARE)
