"""What a row of the fault catalogue is: what the server does, and what must become of the items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .script import Reply, Rule, Script, echo, says
from .server import FaultServer
from .steps import Connect, Step
from .tls import Tls

OUTCOMES = frozenset(
    (
        "ok",
        "invalid_request",
        "not_found",
        "too_large",
        "authentication",
        "quota_exhausted",
        "rate_limited",
        "server_error",
        "timeout",
        "connection",
        "bad_response",
        "refusal",
        "content_filter",
        "truncated",
        "schema_invalid",
    )
)
NEEDS = frozenset(
    (
        "timeout_s",
        "idle_s",
        "max_response_bytes",
        "max_pause_s",
        "concurrency",
        "provider",
        "trust",
        "json",
        "max_attempts",
    )
)


@dataclass(frozen=True)
class Expect:
    """What the client must make of a fault.

    outcome   the first item's record: "ok" or an error code; while pending, the code its attempts name
    also      outcomes that are as true
    requests  least and most POSTs that the server sees from the whole job
    exits     exit codes that are right; empty: 0 for "ok", else 1 (see `exit_codes`)
    pending   the first item has no record: the run stopped, and the same command goes on later
    keep_raw  the record of the failed item holds the reply that was paid for
    wait_s    the second POST never comes earlier than this after the first
    within_s  nor later than this
    free      the replies before the last were no attempts: `max_attempts=1` changes nothing
    content, reasoning, usage   of the first item's record; usage is (prompt, completion), None is not checked
    flags     words for what the record (or the run's messages) must own up to
    memory_mb the client's resident memory grows by no more than this
    slow      the waits are minutes: only with a clock that jumps
    """

    outcome: str = "ok"
    also: tuple[str, ...] = ()
    requests: tuple[int, int] = (1, 1)
    exits: tuple[int, ...] = ()
    pending: bool = False
    keep_raw: bool = False
    wait_s: float = 0.0
    within_s: float = 90.0
    free: bool = False
    content: str | None = None
    reasoning: str | None = None
    usage: tuple[int, int] | None = None
    flags: tuple[str, ...] = ()
    memory_mb: int | None = None
    slow: bool = False

    @property
    def exit_codes(self) -> tuple[int, ...]:
        """The exit codes that are right."""
        return self.exits or tuple(sorted({int(outcome != "ok") for outcome in (self.outcome, *self.also)}))


@dataclass(frozen=True)
class Fault:
    """A row. `steps` answer the POSTs in order (with `one_item`, only the first item's), `then` the rest.

    `body` holds further keys of every job line; `needs` are settings without which the fault does not show:
    timeout_s (a whole attempt), idle_s (between payload bytes), max_response_bytes, max_pause_s, concurrency,
    provider, trust (the server's certificate is trusted), json (the answer must be JSON), max_attempts.
    """

    id: str
    about: str
    steps: tuple[Reply, ...]
    expect: Expect
    variant: str = ""
    then: Reply = echo
    one_item: bool = False
    items: int = 1
    body: Mapping[str, object] = field(default_factory=dict)
    connect: tuple[Connect, ...] = ()
    tls: Tls | None = None
    needs: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unique in the catalogue, fit for a test's id."""
        return f"{self.id}-{self.variant}" if self.variant else self.id

    @property
    def texts(self) -> list[str]:
        """What the items ask, which is also their custom_id."""
        return [f"item-{number}" for number in range(1, self.items + 1)]

    def lines(self) -> list[dict[str, object]]:
        """The job's lines in the short form, without a model."""
        return [{"custom_id": text, "prompt": text, **self.body} for text in self.texts]

    def script(self) -> Script:
        """The steps as a script."""
        rule = Rule(self.steps, says(self.texts[0])) if self.one_item else Rule(self.steps)
        return Script((rule,), self.then)

    def server(self) -> FaultServer:
        """A server that does this to whoever connects."""
        return FaultServer(self.script(), connect=self.connect, tls=self.tls)


ONCE = Expect()
RETRIED = Expect(requests=(2, 2))
TOLD = Expect(requests=(2, 2), free=True)
STOPPED = Expect("quota_exhausted", requests=(1, 3), exits=(77,), pending=True)

ONE_BY_ONE: Mapping[str, object] = {"concurrency": 1}
STREAM: Mapping[str, object] = {"stream": True}


def refused_for_good(id_: str, variant: str, about: str, reply: Step, expect: Expect = STOPPED) -> Fault:
    """Six items, every one refused alike: the run must stop within three."""
    return Fault(id_, about, (), expect, variant, reply, items=6, needs=ONE_BY_ONE)


def variants(id_: str, about: str, replies: Mapping[str, Reply], expect: Expect) -> Iterable[Fault]:
    """One fault per reply, each followed by a good answer where the client asks again."""
    return (Fault(id_, f"{about}: {name}", (reply,), expect, name) for name, reply in replies.items())
