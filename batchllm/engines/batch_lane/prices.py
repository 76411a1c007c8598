"""What a line costs in a batch. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from batchllm.billing import Price

Prices = Callable[..., Price | None]


def scaled(price: Price, share: float) -> Price:
    """A price at a share of itself."""
    return replace(
        price,
        input=price.input * share,
        output=price.output * share,
        cached=None if price.cached is None else price.cached * share,
        reasoning=None if price.reasoning is None else price.reasoning * share,
        above=tuple((start, scaled(dearer, share)) for start, dearer in price.above),
        source=f"{price.source} x {share:g}",
    )


class BatchPrices:
    """The batch price of a model where a list knows one, else the live price times the provider's usual share."""

    def __init__(self, live: Prices, share: float) -> None:
        self._live = live
        self._share = share
        self._known: dict[Price, Price] = {}

    def __call__(self, *names: str) -> Price | None:
        live = self._live(*names)
        if live is None:
            return None
        if live.batch is not None:
            return live.batch
        found = self._known.get(live)
        if found is None:
            found = self._known[live] = scaled(live, self._share)
        return found

    def assumed(self, *names: str) -> float | None:
        """The share that was assumed for want of a batch price; None where one is known, or no price at all."""
        live = self._live(*names)
        return self._share if live is not None and live.batch is None else None
