"""The live view on this terminal: rich is an extra, and needed only by those who ask for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from batchllm.errors import ExitCode, JobError
from batchllm.terminal import say
from batchllm.watching.facts import Recent

if TYPE_CHECKING:
    from rich.console import Console

    from batchllm.progress import View


def need_rich() -> None:
    """Raises `JobError` (2) where it is not installed."""
    try:
        import rich  # noqa: F401
    except ImportError:
        raise JobError(
            ExitCode.USAGE, "the live view needs a package that is not installed: pip install 'batchllm[ui]'"
        ) from None


def live_view(recent: Recent) -> View | None:
    """The view of `run --ui`; None, with a word why, where stderr is no terminal: then the usual lines are printed."""
    need_rich()
    if not sys.stderr.isatty():
        say("  note: --ui needs a terminal; the usual lines follow")
        return None
    from batchllm.watching.screen import Dashboard

    return Dashboard(recent, console())


def console() -> Console:
    """stderr as rich draws on it."""
    from rich.console import Console

    return Console(file=sys.stderr)
