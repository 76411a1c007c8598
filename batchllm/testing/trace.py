"""What the pool promises, each promise a named check over a run's trace."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from itertools import pairwise

from batchllm.engines.local import PARKED_PER_SLOT
from batchllm.errors import ExitCode
from batchllm.testing.simulated_endpoint import Mood, Visit
from batchllm.testing.simulation import Trace

TICK_S = 1e-6
"""Event loops fire timers up to their clock's resolution early."""
BUDGETED: frozenset[Mood] = frozenset({"hang", "500", "502", "reset"})

Check = Callable[[Trace], Iterator[str]]


def no_send_before_its_not_before(trace: Trace) -> Iterator[str]:
    """A server's wait is never undercut for the line that met it."""
    ready: dict[int, float] = {}
    for visit in _by_coming(trace):
        if visit.at < ready.get(visit.line, 0.0) - TICK_S:
            yield f"line {visit.line} came {ready[visit.line] - visit.at:.6f} s early at {visit.at:.3f}"
        if visit.told_s is not None:
            ready[visit.line] = visit.left + visit.told_s


def no_send_while_the_pool_pauses(trace: Trace) -> Iterator[str]:
    """What was let in at the very instant at which the door closed is on its way already."""
    for claim in trace.claims:
        if claim.closed_at + TICK_S < claim.at < claim.paused_until - TICK_S:
            yield f"sent at {claim.at:.3f}, paused until {claim.paused_until:.3f}"


def cap_is_kept(trace: Trace) -> Iterator[str]:
    worst = max((visit.in_flight for visit in trace.visits), default=0)
    if worst > trace.plan.cap:
        yield f"{worst} in flight, the cap is {trace.plan.cap}"


def limit_is_kept(trace: Trace) -> Iterator[str]:
    """Nothing is sent beyond the limit of its moment, which may shrink below what is in flight already."""
    for before, claim in pairwise(trace.claims):
        if claim.in_flight > claim.limit and claim.in_flight > before.in_flight and claim.limit >= before.limit:
            yield f"{claim.in_flight} in flight at {claim.at:.3f}, the limit is {claim.limit}"


def no_slot_is_held_while_waiting(trace: Trace) -> Iterator[str]:
    """A slot is a request the server has: at each coming as many are taken as there are requests on the wire, or
    about to be in the same instant."""
    for claim, visit in zip(trace.claims, _by_coming(trace), strict=False):
        if claim.in_flight < visit.in_flight:
            yield f"{visit.in_flight} on the wire at {visit.at:.3f}, {claim.in_flight} slots taken"
    held: dict[float, tuple[int, int]] = {}
    for claim, visit in zip(trace.claims, _by_coming(trace), strict=False):
        held[claim.at] = (claim.in_flight, visit.in_flight)  # the last coming of an instant: all are on the wire
    for at, (slots, wire) in held.items():
        if slots != wire:
            yield f"{slots} slots taken at {at:.3f}, {wire} requests on the wire"


def rpm_is_kept(trace: Trace) -> Iterator[str]:
    """In any 60 seconds at most `rpm` requests."""
    if trace.plan.rpm is not None:
        yield from _over_a_minute(trace, trace.plan.rpm, 1.0, "requests")


def tpm_is_kept(trace: Trace) -> Iterator[str]:
    """In any 60 seconds at most `tpm` tokens, as they were really used."""
    if trace.plan.tpm is not None:
        yield from _over_a_minute(trace, trace.plan.tpm, float(trace.plan.server.tokens), "tokens")


def _over_a_minute(trace: Trace, most: float, each: float, what: str) -> Iterator[str]:
    most = max(most, each) + each * len(trace.plan.suspends)  # what was about to go as the machine fell asleep
    recent: deque[float] = deque()
    for visit in _by_coming(trace):
        recent.append(visit.at)
        while recent[0] <= visit.at - 60.0 + TICK_S:
            recent.popleft()
        if len(recent) * each > most + TICK_S:
            yield f"{len(recent) * each:g} {what} in the minute before {visit.at:.3f}, allowed are {most:g}"


def every_item_ends(trace: Trace) -> Iterator[str]:
    """One record each; pending lines only where the run said why it ended early."""
    counts = Counter(line for line, _ in trace.records)
    for line, count in counts.items():
        if count > 1:
            yield f"line {line} has {count} records"
    stopped = trace.ending is not None or trace.plan.stop_at is not None
    if len(counts) < trace.plan.items and not stopped:
        yield f"{trace.plan.items - len(counts)} lines have no record, and the run says nothing of it"


def answers_are_recorded(trace: Trace) -> Iterator[str]:
    """Every answer the server gave is a record, and asked for once: nothing paid is lost or bought twice."""
    answered = Counter(visit.line for visit in trace.visits if visit.mood == "ok")
    good = {line for line, code in trace.records if code is None}
    for line, count in answered.items():
        if count > 1:
            yield f"line {line} was answered {count} times"
        if line not in good:
            yield f"line {line} was answered and has no result"


def only_faults_of_its_own_fail_a_line(trace: Trace) -> Iterator[str]:
    """Refusals, outages and pauses fail no line: only errors of its own at every attempt do."""
    server = trace.plan.server
    poison = {line for line, _ in server.poison}
    met: dict[int, Counter[Mood]] = defaultdict(Counter)
    for visit in trace.visits:
        met[visit.line][visit.mood] += 1
    attempts = trace.plan.retries.max_attempts
    for line, code in trace.records:
        own = sum(met[line][mood] for mood in BUDGETED)
        enough = own >= attempts or met[line]["hang"] >= 2
        if code is not None and line not in poison and not enough:
            yield f"line {line} failed with {code} after {dict(met[line])}"


def retries_are_bounded(trace: Trace) -> Iterator[str]:
    """A retry after an outcome nobody knows costs a token of 100, two after a time-out, an answer gives back a tenth:
    beyond that they go one by one."""
    tokens = 100.0
    failed: dict[int, float] = {}
    beyond: list[float] = []
    ends = deque(sorted((visit for visit in trace.visits if visit.mood == "ok"), key=lambda visit: visit.left))
    for visit in _by_coming(trace):
        while ends and ends[0].left <= visit.at:
            tokens = min(100.0, tokens + 0.1)
            ends.popleft()
        cost = failed.pop(visit.line, 0.0)
        if tokens >= cost - TICK_S:
            tokens -= cost
        else:
            beyond = [*(left for left in beyond if left > visit.at + TICK_S), visit.left]
            if len(beyond) > 2:
                yield f"{len(beyond)} retries without a token beside each other at {visit.at:.3f}"
        if visit.mood in BUDGETED:
            failed[visit.line] = 2.0 if visit.mood == "hang" else 1.0


def account_refusals_stop_the_run(trace: Trace) -> Iterator[str]:
    """A doubtful quota is probed one by one, and believed after three; other ends come for outages and long pauses only."""
    ending, moods = trace.ending, {spell.mood for spell in trace.plan.server.spells}
    if ending is None:
        return
    expected = {
        ExitCode.ACCOUNT: bool(moods & {"quota"}),
        ExitCode.UNAVAILABLE: bool(moods & {"down", "hang", "500", "502", "503", "reset"}),
        ExitCode.TRY_LATER: True,
    }
    if not expected.get(ending.exit_code, False):
        yield f"ended with {ending.exit_code.name}: {ending}"


def parked_lines_are_bounded(trace: Trace) -> Iterator[str]:
    bound = (PARKED_PER_SLOT + 1) * trace.plan.cap
    if trace.parked_most > bound:
        yield f"{trace.parked_most} lines parked, at most {bound} may be"


def _by_coming(trace: Trace) -> list[Visit]:
    return sorted(trace.visits, key=lambda visit: visit.number)


CHECKS: tuple[Check, ...] = (
    no_send_before_its_not_before,
    no_send_while_the_pool_pauses,
    cap_is_kept,
    limit_is_kept,
    no_slot_is_held_while_waiting,
    rpm_is_kept,
    tpm_is_kept,
    every_item_ends,
    answers_are_recorded,
    only_faults_of_its_own_fail_a_line,
    retries_are_bounded,
    account_refusals_stop_the_run,
    parked_lines_are_bounded,
)


def violations(trace: Trace, each: int = 3) -> list[str]:
    """Every promise that was broken, by its name, with its first few instances."""
    found: list[str] = []
    for check in CHECKS:
        for count, what in enumerate(check(trace)):
            if count == each:
                break
            found.append(f"seed {trace.plan.seed}: {check.__name__}: {what}")
    return found
