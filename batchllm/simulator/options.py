"""What the simulator can be told. Imports nothing that serves, so that `--help` stays quick."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from batchllm.simulator.batch_orders import BatchOrders
from batchllm.simulator.dialects import DIALECTS
from batchllm.simulator.faults import ALIASES, Faults
from batchllm.simulator.latency import Latency
from batchllm.simulator.limits import Limits

Reasoning = Literal["off", "hidden", "reasoning_content", "reasoning", "think"]
Account = Literal["good", "no_credit", "bad_key"]
REASONING: tuple[Reasoning, ...] = ("off", "hidden", "reasoning_content", "reasoning", "think")
ACCOUNT: tuple[Account, ...] = ("good", "no_credit", "bad_key")


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """One simulated endpoint. The same options and the same request body give the same answer to the byte."""

    seed: int = 0
    """Everything drawn (answers, faults, latency) is a function of this and the request body."""
    dialect: str = "openai"
    """Whose error bodies, headers and quirks: a name in `dialects.DIALECTS`."""
    models: tuple[str, ...] = ("simulated-1",)
    """What `/v1/models` lists; the first one is the default of a request without `model`."""
    strict_models: bool = False
    """A model that is not listed is refused as not found; otherwise any name is served."""
    api_key: str | None = field(default=None, repr=False)
    """The key that requests must carry; None lets everybody in."""
    account: Account = "good"
    """`no_credit` and `bad_key` refuse every request as that provider does."""
    account_after: int = 0
    """Answered requests after which `account` takes effect: a credit that runs out in the middle of a run."""
    answer_words: int = 40
    """Words of a free answer; each answer has half to one and a half times as many."""
    reasoning: Reasoning = "off"
    """Where thoughts are shown; `off` still thinks where a request asks for it, the dialect's way."""
    reasoning_words: int = 60
    """Words of thought, if any."""
    cached_share: float = 0.25
    """Share of prompt tokens (0 to 1) told as read from the provider's cache."""
    prefix_cache: int | None = None
    """Prompt tokens kept in a cache of beginnings: then only what was really read before is told as cached, not a share."""
    context_tokens: int | None = None
    """Prompt tokens above which a request is refused as too long; None is no bound."""
    embedding_dimensions: int = 64
    """Numbers in an embedding, where the request does not say."""
    latency: Latency = field(default_factory=Latency)
    limits: Limits = field(default_factory=Limits)
    faults: Faults = field(default_factory=Faults)
    batches: BatchOrders = field(default_factory=BatchOrders)
    fault_attempts: int | None = None
    """Only so many first attempts of each body meet faults; None: every attempt may."""
    retry_after_s: float = 1.0
    """Seconds that an ordered 429 or 503 asks to wait; enforced limits tell the true time."""
    hang_s: float = 3600.0
    """Seconds an ordered hang lasts before the connection is dropped."""
    keep_alive_s: float = 75.0
    """Seconds an idle connection is kept; uvicorn and so vLLM have 5."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Request bytes above which 413 is answered."""
    ledger: str | None = None
    """Path of a file that gets one line for every answer made and billed; None keeps no ledger."""

    def __post_init__(self) -> None:
        _one_of("dialect", self.dialect, tuple(DIALECTS))
        _one_of("reasoning", self.reasoning, REASONING)
        _one_of("account", self.account, ACCOUNT)
        if not self.models:
            raise ValueError("models: at least one is needed")
        if not 0 <= self.cached_share <= 1:
            raise ValueError("cached_share: lies between 0 and 1")
        if self.prefix_cache is not None and self.prefix_cache < 1:
            raise ValueError("prefix_cache: at least one token")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}: {value!r} is none of {', '.join(known)}")


_GROUPS: Mapping[str, type[Latency | Limits | Faults | BatchOrders]] = {
    "latency": Latency,
    "limits": Limits,
    "faults": Faults,
    "batches": BatchOrders,
}


def options_from_table(table: Mapping[str, Any]) -> SimulatorOptions:
    """Options from a settings table, `latency`, `limits`, `faults` and `batches` being tables in it.

    Raises ValueError for a key that does not exist, with the nearest one that does.
    """
    values = dict(table)
    for name, kind in _GROUPS.items():
        if name in values:
            values[name] = kind(**_known(name, _named(values[name]), kind))
    if "models" in values:
        values["models"] = tuple(values["models"])
    return SimulatorOptions(**_known("simulator", values, SimulatorOptions))


def _known(where: str, values: Any, kind: type[Any]) -> dict[str, Any]:
    """The values, if each has a name and a type that the class knows."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: {values!r} is no table")
    types = {field.name: field.type for field in fields(kind)}
    for key, value in values.items():
        if key not in types:
            near = get_close_matches(key, types, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where}: there is no {key!r}{hint}")
        if not _fits(value, types[key]):
            raise ValueError(f"{where}.{key}: {value!r} is of the wrong type")
    return dict(values)


def _fits(value: Any, kind: Any) -> bool:
    """Whether the value is of the annotated type; an integer is a float too, a boolean is no number."""
    known = {get_origin(one) or one for one in (get_args(kind) if isinstance(kind, UnionType) else (kind,))}
    if Literal in known:
        return value in get_args(kind)
    if isinstance(value, bool):
        return bool in known
    return type(value) in known or (isinstance(value, int) and float in known)


def _named(values: Any) -> Any:
    """With the faults' other names (`"429" = 0.1`) taken for their own."""
    if not isinstance(values, Mapping):
        return values
    return {ALIASES.get(name, name): value for name, value in values.items()}


def table_from(options: SimulatorOptions) -> dict[str, Any]:
    """The options as plain JSON values: what `options_from_table` reads."""
    return asdict(options)
