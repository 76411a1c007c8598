"""The endpoints of a fleet by name: where each request goes, what each endpoint came to, who is left out and why.

What would end a run with one endpoint leaves that endpoint out of a run with several; the run ends when none is left. An
endpoint that is down is no such case: its breaker knocks on, and the run ends only once all have been down for too long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from batchllm.endings import Endings, duration
from batchllm.engines.endpoint_tally import EndpointTally
from batchllm.errors import ExitCode, JobError
from batchllm.records import attempt_note
from batchllm.route import Route, Site
from batchllm.steps import Again, AnyStep, Asked, Done, Halt, Onward
from batchllm.throttle import Throttle
from batchllm.throttle.fleet import Fleet, Member, Shunned
from batchllm.types import Call, Json, Kind

SHOWN = 3
"""Endpoints whose reasons are told when none is left."""


@dataclass(slots=True)
class Place:
    """One endpoint: its member of the fleet, its way there, what it said no to, its figures."""

    site: Site
    member: Member
    route: Route
    endings: Endings
    tally: EndpointTally = field(default_factory=EndpointTally)
    ending: JobError | None = None
    down: bool = False

    def state(self, now: float) -> str:
        """How it stands, in words: in use, down, or left out and why."""
        if self.member.out_until > now:
            return f"left out: {self.ending}"
        return "down" if self.member.breaker.open else "in use"


class Roster:
    """The places of a run's fleet. `tell` gets a sentence whenever one of them is lost or comes back."""

    def __init__(self, route: Route, fleet: Fleet, endings: Endings, tell: Callable[[str], None]) -> None:
        self.fleet = fleet
        self.places = tuple(
            Place(
                site,
                member,
                replace(route, base_url=site.base_url, headers=site.headers, sites=()),
                replace(endings, where=site.base_url, key_hint=site.key_hint),
            )
            for site, member in zip(route.sites, fleet.members, strict=True)
        )
        self._retries = endings.retries
        self._tell = tell
        self._seen_at = -inf

    def addressed(self, call: Call, member: Member, item: Asked) -> Call:
        """The same request to this member's address, with its key."""
        place = self.places[member.number]
        model = item.body.get("model")
        url = place.route.url(item.request.url, model if type(model) is str else "")
        return Call(url, call.body, place.site.headers, call.stream, call.method)

    def weighed(self, step: AnyStep, member: Member, item: Asked, shunned: Shunned, now: float) -> AnyStep:
        """What a step comes to where there are other endpoints: a repeat goes to one of them at once, and an endpoint that
        refuses everything, or has answered nothing yet, does not speak for all."""
        place = self.places[member.number]
        _mark(step, place.site.base_url)
        if isinstance(step, Halt) and self.fleet.others(member, now):
            return Again(step.verdict, 0.0, step.note, shunned)
        if isinstance(step, Done) and self._disbelieved(step, place, shunned, now):
            assert step.verdict is not None
            note = {**attempt_note(step.record, item.last, step.verdict), "endpoint": place.site.base_url}
            return Again(step.verdict, 0.0, note, {**shunned, member.number: inf})
        if isinstance(step, Again) and step.verdict.kind is not Kind.LOCAL:
            barred = self.fleet.shun(member, step.verdict, step.wait_s, shunned, now)
            return replace(step, wait_s=self.fleet.elsewhere_s(barred, now), shunned=barred)
        return step

    def _disbelieved(self, step: Done, place: Place, shunned: Shunned, now: float) -> bool:
        """Whether a no may be the endpoint's own fault (a wrong path, a model it has not): it has never answered anything."""
        final = step.verdict is not None and step.verdict.kind is Kind.FINAL
        return final and not place.endings.answered and self.fleet.unasked(place.member, shunned, now)

    def after(self, step: AnyStep, member: Member, item: Asked, now: float) -> JobError | None:
        """Count a step, as it came from its endpoint; the error with which the run ends, or None."""
        place = self.places[member.number]
        place.tally.add(step, item.last.usage)
        self._seen_at = now
        self._watch(place)
        ending = place.endings.after(step, item, member.throttle, now)
        if ending is None:
            return None
        if not _is_outage(step, ending):
            self._leave_out(place, ending, now)
        place.ending = ending
        return self._last_word(now)

    def _watch(self, place: Place) -> None:
        if place.member.breaker.open != place.down:
            place.down = not place.down
            words = "does not answer; the others go on, and it is tried again" if place.down else "answers again"
            self._tell(f"{place.site.base_url} {words}")

    def _leave_out(self, place: Place, ending: JobError, now: float) -> None:
        member, out = place.member, place.member.out_until > now
        if ending.exit_code is ExitCode.TRY_LATER:
            seconds = ending.resume_after_s or self._retries.max_pause
            member.out_until, words = max(member.out_until, now + seconds), f"for {duration(seconds)}"
        else:
            member.out_until, words = inf, "of this run"
        if not out:
            self._tell(f"{ending}; this endpoint is left out {words}")

    def _last_word(self, now: float) -> JobError | None:
        """The end of the run, once every place is left out or has been down for too long."""
        lost = [
            place.ending
            for place in self.places
            if place.ending is not None
            and (place.member.out_until > now or place.member.breaker.outage_s() > self._retries.max_outage)
        ]
        if len(lost) < len(self.places):
            return None
        told = "; ".join(str(one) for one in lost[:SHOWN]) + (f"; and {len(lost) - SHOWN} more" if len(lost) > SHOWN else "")
        codes = {one.exit_code for one in lost}
        code = next((one for one in (ExitCode.TRY_LATER, ExitCode.UNAVAILABLE) if one in codes), ExitCode.ACCOUNT)
        back = min((place.member.out_until for place in self.places if place.member.out_until > now), default=inf)
        resume = back - now if code is ExitCode.TRY_LATER and back < inf else None
        return JobError(code, f"none of {len(lost)} endpoints is left: {told}", resume_after_s=resume)

    def as_json(self) -> list[Json]:
        """A row for each endpoint, of this run, as things stood after its last request."""
        return [
            {
                "endpoint": place.site.base_url,
                "state": place.state(self._seen_at),
                **place.tally.as_json(),
                "limit": min(place.member.throttle.limiter.limit, self.fleet.whole.limiter.cap),
            }
            for place in self.places
        ]


def _unheard(text: str) -> None:
    """Nobody wants to be told."""


def roster_for(
    route: Route, throttle: Throttle, endings: Endings, now: float, tell: Callable[[str], None] = _unheard
) -> Roster | None:
    """The endpoints of a run that has several, None for one. The throttle holds what counts for all of them from now on."""
    if not route.sites:
        return None
    return Roster(route, Fleet(throttle, [site.cap for site in route.sites], now), endings, tell)


def _mark(step: AnyStep, name: str) -> None:
    """Write down which endpoint it was: in records and notes alike."""
    kept = step.kept if isinstance(step, Onward) else step
    if isinstance(kept, Done):
        for record in kept.records:
            record.facts["endpoint"] = name
    elif isinstance(kept, Again | Halt):
        kept.note["endpoint"] = name
    else:
        kept["endpoint"] = name


def _is_outage(step: AnyStep, ending: JobError) -> bool:
    return isinstance(step, Again) and ending.exit_code is ExitCode.UNAVAILABLE
