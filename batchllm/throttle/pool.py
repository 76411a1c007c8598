"""A minute's limit that several processes keep to together. Pure.

Every process that takes part is a member. It holds a little of a limit for the next second, takes from that without asking
anybody, and then comes back: it tells what it took, gives back what it does not need and gets more. Whoever dies holds
nothing a second later. Times are seconds of the monotonic clock that all processes of a machine have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import floor, inf

from batchllm.throttle.bucket import MINUTE_S
from batchllm.types import Json

SLOT_S = 0.25
"""What was taken is counted in quarters of a second, each at its end."""
HOLD_S = 1.0
"""How long a member may use what it was given without coming back."""
PRESENT_S = 1.5
"""A member that was not heard of for so long claims nothing."""
FORGET_S = MINUTE_S + HOLD_S
"""Its limit holds for so long: one that was only stopped for a while must not find that the others passed it."""
SOONEST_S, LATEST_S = 0.02, 0.25
"""Bounds on when a member that got less than it needs asks again."""
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Ask:
    """What a member tells of one limit. `taken` and `settled` (corrections) are amounts by the slot of their sending.

    `back` is what it gives back; `need` the least that helps it now, 0 where nobody waits; `want` what it could use.
    """

    limit: float | None
    taken: Mapping[int, float] = field(default_factory=dict)
    settled: Mapping[int, float] = field(default_factory=dict)
    back: float = 0.0
    need: float = 0.0
    want: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """So much more than it holds already, under this limit (None: nobody set one); `wait_s` until asking again may help."""

    amount: float
    limit: float | None
    wait_s: float = 0.0


@dataclass(slots=True)
class Stake:
    """One member's part of a pool. `served` is what it had so far, as far as being fair to the others goes."""

    limit: float | None = None
    seen: float = -inf
    held: float = 0.0
    until: float = 0.0
    need: float = 0.0
    want: float = 0.0
    served: float = 0.0
    lapsed: float = 0.0

    def present(self, now: float) -> bool:
        return self.seen > now - PRESENT_S


class Pool:
    """One limit: at most so much in any 60 seconds over all members, spread evenly as a `Bucket` does it.

    What members hold counts as taken until they say what became of it; what a member held when it was last heard of counts
    as taken when its time was over. The lowest limit of all members holds. Where there is less than they
    want, it goes to whoever had least, but nobody saves up more than a second of it by having been idle.
    """

    __slots__ = ("_at", "_level", "_slots", "_stakes", "_whole")

    def __init__(self, *, whole: bool = False, state: Json | None = None) -> None:
        """`whole`: it is given out in whole units. `state` is what `as_json` gave."""
        state = state or {"at": 0.0, "level": inf, "slots": {}, "stakes": {}}
        self._whole = whole
        self._at: float = state["at"]
        self._level: float = inf if state["level"] is None else state["level"]
        self._slots: dict[int, float] = {int(slot): amount for slot, amount in state["slots"].items()}
        self._stakes = {name: Stake(**stake) for name, stake in state["stakes"].items()}

    def as_json(self) -> Json:
        return {
            "at": self._at,
            "level": None if self._level == inf else self._level,
            "slots": {str(slot): amount for slot, amount in self._slots.items()},
            "stakes": {name: asdict(stake) for name, stake in self._stakes.items()},
        }

    def members(self, now: float) -> int:
        return sum(stake.present(now) for stake in self._stakes.values())

    def exchange(self, member: str, ask: Ask, now: float) -> Grant:
        """Hear what a member has to tell, and what it gets."""
        self._forget(now)
        stake = self._stakes.setdefault(member, Stake())
        self._hear(stake, ask, now)
        limit = min((one.limit for one in self._stakes.values() if one.limit is not None), default=None)
        self._refill(limit, now)
        if limit is None:
            return Grant(0.0, None)
        self._catch_up(stake, limit, now)
        amount = self._due(member, limit, now)
        self._level -= amount
        stake.held += amount
        stake.served += amount
        stake.want -= min(amount, stake.want)
        wait_s = 0.0 if amount >= stake.need else self._ahead_s(member, limit, now)
        stake.need = 0.0 if amount >= stake.need else stake.need
        return Grant(amount, limit, wait_s)

    def leave(self, member: str, ask: Ask, now: float) -> None:
        """The member goes; what it held and did not take is everybody's again."""
        self._forget(now)
        if member in self._stakes:
            self._hear(self._stakes[member], ask, now)
            del self._stakes[member]

    def _forget(self, now: float) -> None:
        """What was sent a minute ago, members long gone; what is held by one who did not come back is as good as taken."""
        for slot in [one for one in self._slots if one * SLOT_S + MINUTE_S <= now]:
            del self._slots[slot]
        for stake in self._stakes.values():
            if stake.held > 0 and stake.until <= now:
                self._add(slot_of(stake.until), stake.held)
                stake.lapsed, stake.held = stake.held, 0.0
        for name in [name for name, stake in self._stakes.items() if stake.seen < now - FORGET_S]:
            del self._stakes[name]

    def _hear(self, stake: Stake, ask: Ask, now: float) -> None:
        if stake.lapsed:  # it comes back after all, and knows better what became of it
            if slot_of(stake.until) in self._slots:
                self._add(slot_of(stake.until), -stake.lapsed)
            stake.held, stake.lapsed = stake.held + stake.lapsed, 0.0
        taken = sum(ask.taken.values())
        back = min(ask.back, max(0.0, stake.held - taken))
        unheld = max(0.0, taken - stake.held)  # sent before anybody had set a limit
        wrong = sum(ask.settled.values())
        self._level += back - unheld - wrong
        stake.served += unheld + wrong - back
        stake.held = max(0.0, stake.held - taken - back)
        for slot, amount in ask.taken.items():
            self._add(slot, amount)
        for slot, amount in ask.settled.items():
            if slot in self._slots:
                self._add(slot, amount)
        stake.limit, stake.need, stake.want = ask.limit, ask.need, max(ask.want, ask.need)
        stake.seen, stake.until = now, now + HOLD_S

    def _add(self, slot: int, amount: float) -> None:
        self._slots[slot] = self._slots.get(slot, 0.0) + amount

    def _refill(self, limit: float | None, now: float) -> None:
        if limit is not None:
            self._level = min(_burst(limit), self._level + max(0.0, now - self._at) * limit / MINUTE_S)
        self._at = now

    def _catch_up(self, stake: Stake, limit: float, now: float) -> None:
        present = [one for one in self._stakes.values() if one.present(now)]
        lag = max(_burst(limit), *(one.need for one in present))
        stake.served = max(stake.served, max(one.served for one in present) - lag)

    def _claims(self, now: float) -> dict[str, Stake]:
        """Those who want more, who had least first."""
        wanting = {name: one for name, one in self._stakes.items() if one.want > 0 and one.present(now)}
        return dict(sorted(wanting.items(), key=lambda item: (item[1].served, item[0])))

    def _due(self, member: str, limit: float, now: float) -> float:
        """What this member gets now: its part of what is free, or what it needs where it is the first who cannot do with less."""
        stake, claims = self._stakes[member], self._claims(now)
        if member not in claims:
            return 0.0
        used = self._used
        free = min(self._level, limit - used)
        part = min(stake.want, max(0.0, _water_line(free, claims.values()) - stake.served))
        part = floor(part + TINY) if self._whole else part
        if part >= stake.need:
            return part
        enough = self._level >= min(stake.need, _burst(limit)) - TINY
        room = used + stake.need <= limit + TINY or used <= TINY  # more than a whole minute's: when nothing else went
        return stake.need if next(iter(claims)) == member and enough and room else 0.0

    @property
    def _used(self) -> float:
        return sum(self._slots.values()) + sum(one.held for one in self._stakes.values())

    def _ahead_s(self, member: str, limit: float, now: float) -> float:
        """Seconds until the bucket has what those before this member need, and it."""
        needed = 0.0
        for name, one in self._claims(now).items():
            needed += min(max(one.need, 1.0 if self._whole else 0.0), _burst(limit))
            if name == member:
                break
        return min(LATEST_S, max(SOONEST_S, (needed - self._level) * MINUTE_S / limit))


def slot_of(now: float) -> int:
    """The slot that ends after `now`."""
    return int(now / SLOT_S) + 1


def _burst(limit: float) -> float:
    """A second's worth, as a `Bucket` of one process has it."""
    return max(limit / MINUTE_S, 1.0)


def _water_line(free: float, claims: Iterable[Stake]) -> float:
    """How much every claimant will have had once `free` is poured on those that had least, none beyond what it wants."""
    stakes = list(claims)
    line = min((one.served for one in stakes), default=0.0)
    for edge in sorted({edge for one in stakes for edge in (one.served, one.served + one.want)}):
        open_for = sum(one.served <= line < one.served + one.want for one in stakes)
        step = (edge - line) * open_for
        if step >= free:
            return line + max(0.0, free) / open_for if open_for else line
        free -= step
        line = edge
    return line
