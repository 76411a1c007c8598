"""`batchllm ctl`."""

from __future__ import annotations

from argparse import Namespace

from batchllm.errors import ExitCode, JobError
from batchllm.strictjson import dumps
from batchllm.types import Json
from batchllm.watching.client import ask
from batchllm.watching.orders import assignments


def main(args: Namespace) -> int:
    answer = ask(args.folder, _order(args))
    print(dumps(answer).decode())
    return int(ExitCode.OK if answer.get("ok") else ExitCode.SOME_FAILED)


def _order(args: Namespace) -> Json:
    """What the words ask for. Raises `JobError` (2)."""
    if args.order != "set":
        if args.values:
            raise JobError(ExitCode.USAGE, f"ctl {args.order} takes nothing behind it; ctl DIR set NAME=VALUE sets limits")
        return {"do": args.order}
    try:
        return {"do": "set", **assignments(args.values)}
    except ValueError as error:
        raise JobError(ExitCode.USAGE, f"ctl set: {error}") from None
