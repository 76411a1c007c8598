"""What stands in the way of a budget: models without a price, lines whose answers may be of any length. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from batchllm.billing import READS_ONLY, Price
from batchllm.errors import ExitCode, JobError
from batchllm.types import Request


class Unbounded:
    """Looks at each request of a job once; `refuse` then says why `--max-cost` cannot be kept for it."""

    def __init__(self) -> None:
        self._lines = 0
        self._first = 0

    def __call__(self, request: Request) -> None:
        body = request.body
        if body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens"):
            return
        if request.url.endswith(READS_ONLY):
            return
        self._lines += 1
        self._first = self._first or request.line

    def refuse(self, models: Iterable[str], prices: Callable[[str], Price | None], assumed: int | None) -> None:
        """Raise `JobError` (2) with the way out; nothing where every request has a price and an end."""
        unpriced = sorted(model for model in models if prices(model) is None)
        if unpriced:
            raise JobError(
                ExitCode.USAGE,
                f'--max-cost needs a price for {", ".join(unpriced)}: put [prices."{unpriced[0]}"] with input and output, in US '
                "dollars per million tokens, into the settings",
            )
        if self._lines and assumed is None:
            raise JobError(
                ExitCode.USAGE,
                f"--max-cost needs a limit on every answer, and {self._lines} lines have none (the first is line {self._first}): "
                "set max_tokens in [body], or say with --assume-max-tokens what to reckon with",
            )
