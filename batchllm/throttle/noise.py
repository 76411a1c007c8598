"""Refusals that have nothing to do with how fast we send: told from a limit by a short trial at half the pace. Pure.

A limit refuses what is above a rate: of what is sent at half a pace at which fewer than half were refused, it refuses
nothing. Refusals at random (a pool shared with others is full, a gateway that sheds a share of everything) come as often
at any pace. Counts are of requests; times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from math import log, sqrt
from typing import NamedTuple

FIRST = 6
"""Refusals that are waited for before the first trial, unless they plainly are a limit's."""
PLAIN = 3
MAJORITY = 0.6
"""A pace at which so large a share is refused is plainly too fast: that wants no trial. So many refusals are enough to tell."""
LATELY = 1000
"""Requests after which a refusal is forgotten: a share that is smaller yet is nobody's concern."""
SHRUNK, FEWER = 0.8, 12.0
"""What a trial decides between: nearly the share refused before it, or less than that by the factor."""
SURE = log(20.0)
SURER = log(4.0)
"""What is asked beyond that for each time that refusals grew after they were taken for noise."""
DOUBTS = 4
LEAST = 12
ENOUGH = 40
MUCH = 0.1
LONGEST, LONGEST_S = 400, 15.0
"""A trial without a decision by then ends with the likelier of the two."""
MOST = 0.4
EXCESS = 0.1
"""More than the noise is what exceeds it by its own size, or by this if that is more."""
ALARM = log(300.0)
MEMORY_LEAST, MEMORY = 100.0, 600.0
RISE, SLACK = 1.5, 0.02
TOO_FEW = 4.0


class Lately(NamedTuple):
    """So many of so many were refused, sent `since` then; the slowest refusal took `age` seconds."""

    refused: int
    sent: int
    since: float
    age: float


class Trial:
    """Half the pace, and what is refused at it: a sequential test (Wald) of the share before against a fraction of it.

    The share before is of the requests from the first refused one up to the cut; some of them are refused only now.
    `noise` and `limit` are its outcomes, False until there is one; `rate` is the pace to keep to where it is a limit.
    """

    __slots__ = (
        "_age", "_before", "_final", "_from", "_known", "_of", "_sure", "limit", "noise", "rate", "refused", "sent", "since",
    )  # fmt: skip

    def __init__(self, rate: float, lately: Lately, known: float, doubts: int, since: float, *, final: bool = False) -> None:
        """Of what was refused `lately` the share `known` is noise already; `doubts` is how often such a trial was wrong."""
        self.rate, self.since, self._final = rate, since, final
        self._before, self._of = lately.refused, max(lately.sent, lately.refused)
        self._from, self._age = lately.since, lately.age
        self._known, self._sure = known, SURE + SURER * min(doubts, DOUBTS)
        self.sent = self.refused = 0
        self.noise = self.limit = False

    @property
    def before(self) -> float:
        return min(1.0, self._before / self._of)

    @property
    def share(self) -> float:
        """Of all that was sent since the first refusal."""
        return (self._before + self.refused) / (self._of + self.sent)

    def went(self, now: float) -> None:
        """One more was sent."""
        self.sent += 1
        self._judge(now, refused=False)

    def again(self, rate: float, since: float) -> Trial:
        """The same once more at `rate`: what was refused in this one is the share before the next."""
        lately = Lately(self._before + self.refused, self._of + self.sent, since, self._age)
        return Trial(self.rate, lately, self._known, 0, since, final=True)

    @property
    def convinces(self) -> bool:
        """Whether noise is the outcome for good: much of it has to be seen at half the pace, and at half of that."""
        return self._final or self.share <= MUCH

    def was_refused(self, sent_at: float, now: float) -> None:
        """One came back refused."""
        if sent_at >= self.since:
            self.refused += 1
            self._age = max(self._age, now - sent_at)
        elif sent_at >= self._from:
            self._before += 1
        self._judge(now, refused=sent_at >= self.since)

    def _judge(self, now: float, *, refused: bool) -> None:
        """Noise is found at a refusal only."""
        elapsed = now - self.since
        known = self.sent * max(0.0, 1 - self._age / max(elapsed, 1e-3))  # of the younger ones nobody knows yet
        evidence = self._evidence(max(known, self.refused))
        plain = self.before >= MAJORITY or (self.refused >= FIRST and self.refused >= MAJORITY * known)
        ended = self.sent >= LONGEST or (elapsed >= LONGEST_S and self.sent >= ENOUGH)
        self.limit = plain or ended or evidence <= -self._sure
        self.noise = refused and not self.limit and evidence >= self._sure and known >= LEAST and not self._more(known)

    def _more(self, sent: float) -> bool:
        """Whether more is refused than before, which is no noise either: the limit itself fell."""
        share = min(1.0, (self._before + self.refused) / (self._of + sent))
        spread = sqrt(share * (1 - share) * (1 / self._of + 1 / sent))
        return self.refused / sent - self.before > 2 * spread

    def _evidence(self, sent: float) -> float:
        """The logarithm of how much likelier noise is than a limit."""
        fewer = max(self._known, self.before * SHRUNK / FEWER)
        share = min(0.9, max(self.before * SHRUNK, fewer * 2))
        return self.refused * log(share / fewer) + (sent - self.refused) * log((1 - share) / (1 - fewer))


class Noise:
    """The share that is refused whatever the pace, and whether refusals have become more than that (a CUSUM test).

    While none is known the first few refusals are taken for noise, unless they are most of what was sent meanwhile. The
    share is counted on while it explains what is refused, and may rise a little above what a trial found.
    """

    __slots__ = ("_at", "_excess", "_first", "_found", "_refused", "_sent", "doubts", "share")

    def __init__(self) -> None:
        self.share = self._found = 0.0
        self.doubts = 0
        self._excess = self._refused = self._sent = 0.0
        self._at = 0
        self._first: deque[tuple[int, float]] = deque(maxlen=FIRST)

    def found(self, trial: Trial, count: int) -> None:
        """A trial's outcome was noise; `count` is how many were sent in all."""
        self._first.clear()
        self.share = self._found = min(trial.share, MOST)
        self._refused, self._sent = self.share * MEMORY_LEAST, MEMORY_LEAST
        self._excess, self._at = 0.0, count

    def refuted(self, trial: Trial) -> None:
        """A trial's outcome was a limit: there was no noise where nothing was refused though it was to be expected."""
        if not trial.refused and trial.sent * self.share >= TOO_FEW:
            self.share = 0.0

    def unexplained(self, sent_at: float, now: float, number: int, count: int, *, paced: bool, sure: bool) -> Lately | None:
        """Count a refusal of about the `number`th request: None where it is no more than noise, else what was refused lately.

        `count` is how many were sent so far. While no noise is known, and nothing `paced`, the first few are taken for it,
        unless they are `sure` to be a limit's.
        """
        first = self._first
        while first and first[0][0] < count - LATELY:
            first.popleft()
        first.append((number, sent_at))
        lately = Lately(len(first), count - first[0][0] + 1, first[0][1], now - sent_at)
        if self.share:
            return lately if self._excessive(count, paced=paced) else None
        few = len(first) < FIRST and (len(first) < PLAIN or len(first) < MAJORITY * lately.sent)
        return None if few and not paced and not sure else lately

    @property
    def telling(self) -> bool:
        """Whether there were enough refusals lately to tell a share."""
        return len(self._first) == FIRST

    def plain(self, count: int) -> bool:
        """Whether the last few refusals were most of what was sent meanwhile."""
        return len(self._first) > PLAIN and MAJORITY * (count - self._first[-PLAIN - 1][0] + 1) <= PLAIN + 1

    def _excessive(self, count: int, *, paced: bool) -> bool:
        sent, self._at = max(1, count - self._at), count
        more = min(0.8, self.share + max(self.share, EXCESS))
        self._excess = max(0.0, self._excess - (sent - 1) * log((1 - self.share) / (1 - more))) + log(more / self.share)
        if self._excess >= ALARM:
            self._excess = 0.0
            return True
        self._remember(sent, paced=paced)
        return False

    def _remember(self, sent: int, *, paced: bool) -> None:
        self._refused, self._sent = self._refused + 1, self._sent + sent
        if self._sent > MEMORY:
            self._refused, self._sent = self._refused * MEMORY / self._sent, MEMORY
        most = self.share if paced else min(self._found * RISE + SLACK, MOST)  # where there is a limit too it may be that
        self.share = min(self._refused / self._sent, most)
