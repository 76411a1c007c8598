"""`batchllm top`: the live view of a run of another process."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

from batchllm.cli.live_view import need_rich
from batchllm.terminal import say
from batchllm.types import Json
from batchllm.watching.client import watch


def main(args: Namespace) -> int:
    need_rich()
    states = watch(args.folder)
    first = next(states)
    if not sys.stdout.isatty():
        _picture(first)
        return 0
    try:
        *_, last = _drawn(first, states)
    except KeyboardInterrupt:
        return 0
    _picture(last)
    if last["state"] == "ended":
        say("the run has ended: `batchllm status` tells how", sys.stdout)
    return 0


def _picture(told: Json) -> None:
    from rich.console import Console

    from batchllm.watching.screen import screen

    Console(file=sys.stdout).print(screen(told))


def _drawn(first: Json, states: Iterator[Json]) -> Iterator[Json]:
    """Each state once it is on the screen; the terminal's own content comes back at the end."""
    from rich.console import Console
    from rich.live import Live

    from batchllm.watching.screen import screen

    with Live(screen(first), console=Console(file=sys.stdout), auto_refresh=False, screen=True) as live:
        live.refresh()
        yield first
        for told in states:
            live.update(screen(told), refresh=True)
            yield told
