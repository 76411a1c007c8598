"""The canary of a run: which lines go first, and what happens when they have come back."""

from __future__ import annotations

import asyncio

from batchllm.books import Books
from batchllm.canary import NOBODY, Forecast, Witness, decide, forecast, forecast_lines, spread, without_canary
from batchllm.errors import ExitCode, JobError
from batchllm.estimate.pace import Limits
from batchllm.journal.index import JobIndex
from batchllm.settings import Settings


class Canary:
    """Chooses the lines that go first, foretells the rest from their records, and decides or asks whether it may be sent."""

    def __init__(self, settings: Settings, books: Books) -> None:
        self._settings = settings
        self._books = books
        self._question: asyncio.Task[bool | None] | None = None
        self.witness: Witness | None = None
        self.forecast: Forecast | None = None
        self.goes_on_without = False
        """Whether the run ended here for want of a word: the command without `--canary` goes on."""

    @property
    def asking(self) -> bool:
        """Whether a person is being asked."""
        return self._question is not None

    def lines(self, index: JobIndex, last_line: int, pending: int) -> frozenset[int]:
        """The lines to send first: as many as are wanted beside those that earlier runs ended."""
        missing = min(self._settings.canary - self._books.sample.lines, pending)
        return frozenset(spread(index.wanted, last_line, pending, missing)) if missing > 0 else frozenset()

    async def judge(self, pending: int) -> None:
        """Foretell the pending lines. Raises `JobError` (75) where they may not be sent."""
        settings, tally = self._settings, self._books.tally
        unseen = (tally.at_most_usd, tally.at_most_tokens)
        limits = Limits(settings.most_in_flight, settings.rpm, settings.tpm)
        found = forecast(self._books.sample, pending, (tally.cost_usd, tally.tokens), unseen, limits, self._trouble())
        self.forecast = found
        if self.witness is not None:
            self.witness.show(forecast_lines(found))
        decision = decide(found, settings.max_cost, settings.max_total_tokens)
        self.goes_on_without = decision.ask or decision.by_budget
        if decision.stop is not None:
            raise JobError(ExitCode.TRY_LATER, decision.stop)
        if decision.ask:
            await self._ask()
        self.goes_on_without = False

    def _trouble(self) -> str:
        """The failure that most lines had, with one to look at."""
        failures = self._books.tally.failures
        if not failures:
            return ""
        code, group = max(failures.items(), key=lambda one: one[1].count)
        return f"{code} (line {group.example_line}: {group.message[:140]})"

    async def _ask(self) -> None:
        if self.witness is None:
            raise JobError(ExitCode.TRY_LATER, NOBODY)
        self._question = asyncio.ensure_future(self.witness.agrees())
        try:
            agreed = await self._question
        finally:
            self._question = None
        if agreed is None:
            raise JobError(ExitCode.TRY_LATER, NOBODY)
        if not agreed:
            raise JobError(ExitCode.TRY_LATER, "the rest was not sent, as you said")

    def stop(self) -> None:
        """Ask no further: the run ends."""
        if self._question is not None:
            self._question.cancel()

    def command(self, command: str) -> str:
        """The command that goes on from here."""
        return without_canary(command) if self.goes_on_without else command
