"""The person at the terminal: sees what a canary foretells, and may say that the run goes on."""

from __future__ import annotations

import asyncio
import os
import sys

from batchllm.terminal import say

QUESTION = "go on with the rest? [y/N]"
YES = ("y", "yes")
LONGEST = 1024


class Terminal:
    """Asks on stderr and reads a line of stdin, both of which have to be a terminal that this process has to itself."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def show(self, lines: list[str]) -> None:
        if not self._quiet:
            for line in ["", *lines]:
                say(line)

    async def agrees(self) -> bool | None:
        """Whether the next line says yes; None where nobody can be asked. Waits on the loop, so that signals end it."""
        if self._quiet or not _listens():
            return None
        say(QUESTION)
        loop = asyncio.get_running_loop()
        said: asyncio.Future[bool] = loop.create_future()
        loop.add_reader(sys.stdin.fileno(), _hear, said)
        try:
            return await said
        finally:
            loop.remove_reader(sys.stdin.fileno())


def _hear(said: asyncio.Future[bool]) -> None:
    try:
        line = os.read(sys.stdin.fileno(), LONGEST)
    except OSError:
        line = b""
    if not said.done():
        said.set_result(line.decode("utf-8", "replace").strip().lower() in YES)


def _listens() -> bool:
    """Whether stdin and stderr are a terminal, and this process stands in its foreground: another one is stopped if it reads."""
    try:
        return sys.stderr.isatty() and sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False
