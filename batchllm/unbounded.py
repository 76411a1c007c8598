"""What stands in the way of a budget: models without a price, lines whose answers may be of any length. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from batchllm.billing import Price, most_written
from batchllm.errors import ExitCode, JobError
from batchllm.types import Json, Request


class Unbounded:
    """Looks at each request of a job once; `refuse_*` then say why a budget cannot be kept for it."""

    def __init__(self) -> None:
        self._lines = 0
        self._first = 0

    def told(self) -> Json:
        return {"lines": self._lines, "first": self._first}

    def tell(self, told: Json) -> None:
        self._lines, self._first = told["lines"], told["first"]

    def __call__(self, request: Request) -> None:
        if most_written(request.body, request.url, None) is not None:
            return
        self._lines += 1
        self._first = self._first or request.line

    def refuse_unpriced(self, models: Iterable[str], prices: Callable[[str], Price | None]) -> None:
        """Raise `JobError` (2) with the way out where a model has no price."""
        unpriced = sorted(model for model in models if prices(model) is None)
        if unpriced:
            raise JobError(
                ExitCode.USAGE,
                f'--max-cost needs a price for {", ".join(unpriced)}: put [prices."{unpriced[0]}"] with input and output, in US '
                "dollars per million tokens, into the settings",
            )

    def refuse_endless(self, flag: str, assumed: int | None) -> None:
        """Raise `JobError` (2) with the way out where an answer has no limit; `flag` is the budget that needs one."""
        if self._lines and assumed is None:
            raise JobError(
                ExitCode.USAGE,
                f"{flag} needs a limit on every answer, and {self._lines} lines have none (the first is line {self._first}): "
                "set max_tokens in [body], or say with --assume-max-tokens what to reckon with",
            )
