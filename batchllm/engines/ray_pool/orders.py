"""What each worker is told next: lines it has room for, its share of the limits, what it need not do any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

from batchllm.engines.ray_pool.custody import Custody
from batchllm.engines.ray_pool.desk import Desk
from batchllm.engines.ray_pool.limits import Limits
from batchllm.engines.ray_pool.supply import Supply
from batchllm.engines.ray_pool.wire import Order, Share, Unit, request_of, size_of
from batchllm.errors import JobError
from batchllm.item import Item
from batchllm.route import Route
from batchllm.sources.job_file import Rereading

WAIT_S = 1.0
HUNGRY_S = 0.05
"""How long a report may wait for something to tell; less where a worker has room and there was no line for it."""
AHEAD = 1.25
AHEAD_LEAST = 4
"""Lines a worker has, for each request it may have in flight, so that it need not wait for the next order."""
ORDER_BYTES = 4 << 20


class Orders:
    """Makes orders from what is known of lines, limits and workers. Pure but for the lines it takes from the supply."""

    def __init__(
        self,
        route: Route,
        rereading: Rereading,
        supply: Supply,
        custody: Custody,
        limits: Limits,
        desks: Mapping[int, Desk],
    ) -> None:
        self._route = route
        self._rereading = rereading
        self._supply = supply
        self._custody = custody
        self._limits = limits
        self._desks = desks

    def next(self, desk: Desk, now: float, *, stop: bool, abort: bool) -> Order:
        """The next order for this worker; with `stop` it is given no lines."""
        desk.share = share = self._limits.share(desk.number, self._needs(now), now)
        units, hungry = ((), False) if stop else self._units(desk, share)
        slow, desk.slow = desk.slow, None
        forget, desk.forget = tuple(desk.forget), []
        desk.order += 1
        return Order(desk.order, desk.taken, share, units, forget, slow, HUNGRY_S if hungry else WAIT_S, stop, abort)

    def _needs(self, now: float) -> dict[int, float]:
        """Lines each worker could have in flight; without bound while there are lines that nobody has."""
        desks = [desk for desk in self._desks.values() if desk.expected(now)]
        if self._supply.more:
            return dict.fromkeys((desk.number for desk in desks), inf)
        return {desk.number: float(self._custody.count(desk.number)) for desk in desks}

    def _units(self, desk: Desk, share: Share) -> tuple[tuple[Unit, ...], bool]:
        """What goes to the worker now, and whether it has room for more than there is."""
        room = int(share.cap * AHEAD) + AHEAD_LEAST - self._custody.count(desk.number) if share.cap else 0
        units: list[Unit] = []
        size = 0
        while room > 0 and size < ORDER_BYTES:
            unit = self._supply.next()
            if unit is None:
                return tuple(units), self._supply.more
            if self._limits.counts_tokens and not self._limits.fits(share, self._tokens(unit)):
                self._supply.put_back(unit)
                break
            self._custody.hand(desk.number, unit)
            units.append(unit)
            room -= len(unit)
            size += size_of(unit)
        return tuple(units), False

    def _tokens(self, unit: Unit) -> float:
        """What a worker's own pool will reserve for it."""
        try:
            requests = [request_of(line, self._rereading) for line in unit]
        except JobError:
            return 0.0  # the worker finds the same, and says so
        return sum(Item(self._route, replace(one, extras=None)).token_estimate() for one in requests)
