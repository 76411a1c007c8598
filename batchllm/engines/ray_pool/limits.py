"""What each worker is told it may use: the run's limits, shared out by who needs them. Pure; times are arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from batchllm.billing import Charge
from batchllm.budget import Budget, Budgets
from batchllm.engines.ray_pool.shares import Leases
from batchllm.engines.ray_pool.wire import Report, Share
from batchllm.errors import ExitCode, JobError
from batchllm.throttle import Throttle

MINUTE_S = 60.0
TINY = 1e-9


@dataclass(slots=True)
class _Purse:
    """One budget: what is left of it is lent to the workers; what they took is taken off when their outcomes come in."""

    budget: Budget
    leases: Leases = field(default_factory=Leases)
    taken: dict[int, float] = field(default_factory=dict)

    @property
    def left(self) -> float:
        return max(0.0, self.budget.limit - self.budget.spent)

    def limit(self, worker: int, needs: Mapping[int, float], now: float) -> float:
        return self.taken.get(worker, 0.0) + self.leases.grant(worker, self.left, needs, now)

    def confirm(self, worker: int, limit: float, now: float) -> None:
        self.leases.confirm(worker, self.had(worker, limit), now)

    def took(self, worker: int, amount: float | None) -> None:
        if amount:
            self.budget.settle(0.0, amount)
            self.leases.used_up(worker, amount)
            self.taken[worker] = self.taken.get(worker, 0.0) + amount

    def had(self, worker: int, limit: float) -> float:
        """What was left for this worker."""
        return limit - self.taken.get(worker, 0.0)

    def release(self, worker: int, now: float) -> None:
        self.leases.release(worker, now)
        self.taken.pop(worker, None)


class Limits:
    """The cap, the rates and the budgets of a run, and how much of each every worker has.

    `throttle` holds the limits of the run as they are now: its owner may change them. A worker whose share of a rate would be
    less than its largest request takes no part, since a bucket lets a request beyond its size through alone.
    """

    def __init__(self, throttle: Throttle, budgets: Budgets) -> None:
        self._throttle = throttle
        self._cap = Leases(whole=True)
        self._rpm = Leases(cool_s=MINUTE_S)
        self._tpm = Leases(cool_s=MINUTE_S)
        self._usd = None if budgets.money is None else _Purse(budgets.money)
        self._tokens = None if budgets.tokens is None else _Purse(budgets.tokens)
        self.largest = 0.0
        """Tokens of the largest request so far, by estimate."""

    @property
    def counts_tokens(self) -> bool:
        return self._throttle.tpm is not None

    @property
    def budgeted(self) -> bool:
        """Whether it matters what an outcome took."""
        return self._usd is not None or self._tokens is not None

    def share(self, worker: int, needs: Mapping[int, float], now: float) -> Share:
        """What this worker is told next; `needs` are the lines each worker could have in flight, `inf` while there are more."""
        throttle = self._throttle
        active = dict(sorted(needs.items())[: self._most_workers(len(needs))])
        wanted = {one: inf if need else 0.0 for one, need in active.items()}
        rpm, tpm = throttle.rpm, throttle.tpm
        return Share(
            int(self._cap.grant(worker, throttle.limiter.cap, active, now)),
            None if rpm is None else self._rpm.grant(worker, rpm, wanted, now),
            None if tpm is None else self._tpm.grant(worker, tpm, wanted, now),
            None if self._usd is None else self._usd.limit(worker, wanted, now),
            None if self._tokens is None else self._tokens.limit(worker, wanted, now),
            throttle.held,
        )

    def _most_workers(self, workers: int) -> int:
        most = min(workers, self._throttle.limiter.cap)
        if self._throttle.rpm is not None:
            most = min(most, int(self._throttle.rpm))
        if self._throttle.tpm is not None and self.largest:
            most = min(most, int(self._throttle.tpm / self.largest))
        return max(1, most)

    def fits(self, share: Share, tokens: float) -> bool:
        """Whether a request of so many tokens may be handed to a worker with this share."""
        self.largest = max(self.largest, tokens)
        whole = self._throttle.tpm
        return share.tpm is None or whole is None or share.tpm >= min(tokens, whole) - TINY

    def confirm(self, worker: int, report: Report, now: float) -> None:
        """The worker keeps to its last share; what it uses all the same stands in its report."""
        self._cap.confirm(worker, report.in_flight, now)
        self._rpm.confirm(worker, 0.0, now)
        self._tpm.confirm(worker, 0.0, now)
        if self._usd is not None and report.usd:
            self._usd.confirm(worker, report.usd, now)
        if self._tokens is not None and report.tokens:
            self._tokens.confirm(worker, report.tokens, now)

    def took(self, worker: int, usd: float | None, tokens: float | None) -> None:
        """An outcome of this worker's came in: what it took of the budgets."""
        if self._usd is not None:
            self._usd.took(worker, usd)
        if self._tokens is not None:
            self._tokens.took(worker, tokens)

    def could_have_more(self, worker: int, report: Report) -> bool:
        """Whether a worker that used up its share of a budget would get further with all that is left."""
        told = ((self._usd, report.usd), (self._tokens, report.tokens))
        return any(purse is not None and purse.had(worker, limit) < purse.left * 0.999 - TINY for purse, limit in told)

    def reached(self) -> JobError:
        """The ending of a run whose next request does not fit what is left of its budgets, with all of it in one hand."""
        money, tokens = self._usd, self._tokens
        if money is not None and (tokens is None or money.left / money.budget.limit <= tokens.left / tokens.budget.limit):
            what, flag = f"${money.budget.limit:g} is used up: ${money.budget.spent:.4f}", "--max-cost"
        else:
            assert tokens is not None
            what, flag = f"{tokens.budget.limit:,.0f} tokens is used up: {tokens.budget.spent:,.0f}", "--max-total-tokens"
        message = f"the budget of {what} spent, and the next request may pass it; a higher {flag} goes on"
        return JobError(ExitCode.TRY_LATER, message)

    def release(self, worker: int, now: float) -> None:
        """The worker is gone."""
        for leases in (self._cap, self._rpm, self._tpm):
            leases.release(worker, now)
        for purse in (self._usd, self._tokens):
            if purse is not None:
                purse.release(worker, now)


def took(charge: Charge) -> tuple[float | None, float | None]:
    """Dollars and tokens of one attempt; where nobody told, the most it may have been."""
    worst = charge.worst
    usd = charge.usd if charge.usd is not None or worst is None else worst.usd
    tokens = charge.tokens if charge.tokens is not None or worst is None else worst.tokens
    return usd, tokens
