"""What a model's tokens cost: the settings' `[prices]` first, then the list within genai-prices. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from batchllm.billing import Price, price_from
from batchllm.types import Json

MODELS = 1000
"""Names remembered; a gateway may make up a new one for each answer."""


class PriceList:
    """Prices by model name, for the endpoint at `base_url`.

    The bundled list is looked up by the address that is asked, not by a provider's name: a server of your own that has
    OpenAI's habits has none of its prices. It is imported when the first price is asked for. A price that changes with
    the hour of the day is the one at `now`, the start of the run.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, float]], base_url: str, now: datetime) -> None:
        self._own = {model: _own_row(model, row) for model, row in rows.items()}
        self._base_url = base_url if _may_be_listed(base_url) else ""
        self._now = now
        self._known: dict[str, Price | None] = {}

    def __call__(self, *names: str) -> Price | None:
        """The price of the first of these names for one model that has one; None where nobody knows.

        A row of the settings for any of them goes before the bundled list: a reply names the exact version of a model where
        the settings may hold the name that was asked for.
        """
        for name in names:
            if name in self._own:
                return self._own[name]
        for name in names:
            listed = self._listed(name)
            if listed is not None:
                return listed
        return None

    def note(self, models: Iterable[str]) -> Json:
        """What these models are reckoned with, and who told, for `job.json`; None for an unknown price."""
        return {model: None if (price := self(model)) is None else rates(price) for model in models}

    def _listed(self, model: str) -> Price | None:
        if not self._base_url or not model:
            return None
        if model not in self._known:
            if len(self._known) >= MODELS:
                self._known.clear()
            self._known[model] = _bundled(self._base_url, model, self._now)
        return self._known[model]


def rates(price: Price) -> Json:
    """The rates as they stand in `job.json`, in US dollars per million tokens."""
    said: Json = {"input": price.input, "output": price.output}
    said |= {name: value for name in ("cached", "reasoning") if (value := getattr(price, name)) is not None}
    if price.above:
        said["above"] = {str(start): rates(dearer) for start, dearer in price.above}
    if price.source:
        said["source"] = price.source
    return said


def _own_row(model: str, row: Mapping[str, float]) -> Price:
    try:
        return price_from(row)
    except KeyError as error:
        raise ValueError(f'[prices] "{model}": {error.args[0]} is missing') from None
    except (TypeError, ValueError) as error:
        raise ValueError(f'[prices] "{model}": {error}') from None


def _may_be_listed(base_url: str) -> bool:
    """Whether this is an address on the internet: for anything else the list need not even be imported."""
    host = urlsplit(base_url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return "." in host
    return False


def _bundled(base_url: str, model: str, now: datetime) -> Price | None:
    """The price in genai-prices; None where it has none for this endpoint and model, or is not installed."""
    try:
        from genai_prices import __version__
        from genai_prices.data_snapshot import get_snapshot

        _, found = get_snapshot().find_provider_model(model, None, None, base_url)
        plain, batch = found.get_prices(now), found.get_prices(now, {"processing": "batch"})
        listed, in_batch = _Rates.of(plain), None if batch == plain else _Rates.of(batch)
    except (ImportError, LookupError, AttributeError, TypeError, ValueError):  # also a list of another form than we know
        return None
    return listed.price(f"genai-prices {__version__}", in_batch)


@dataclass(frozen=True, slots=True)
class _Rates:
    """A row of the bundled list: each rate with its steps of (prompt tokens from which it holds, dollars)."""

    input: tuple[tuple[int, float], ...]
    output: tuple[tuple[int, float], ...]
    cached: tuple[tuple[int, float], ...] = field(default=())

    @classmethod
    def of(cls, listed: Any) -> _Rates:
        return cls(_steps(listed.input_mtok), _steps(listed.output_mtok), _steps(listed.cache_read_mtok))

    def price(self, source: str, batch: _Rates | None = None) -> Price | None:
        """None for what is not billed by the token."""
        if not self.input and not self.output:
            return None
        starts = sorted({start for steps in (self.input, self.output, self.cached) for start, _ in steps if start})
        above = tuple((start, self._at(start)) for start in starts)
        in_batch = None if batch is None else batch.price("")
        return replace(self._at(0), above=above, source=source, batch=in_batch)

    def _at(self, tokens: int) -> Price:
        cached = _step(self.cached, tokens) if self.cached else None
        return Price(_step(self.input, tokens), _step(self.output, tokens), cached, source="")


def _steps(listed: Any) -> tuple[tuple[int, float], ...]:
    if listed is None:
        return ()
    if hasattr(listed, "tiers"):
        return ((0, float(listed.base)), *((tier.start, float(tier.price)) for tier in listed.tiers))
    return ((0, float(listed)),)


def _step(steps: tuple[tuple[int, float], ...], tokens: int) -> float:
    return next((price for start, price in reversed(steps) if tokens >= start), 0.0)
