"""The books of a run: what each record and note adds to its totals, in this run and from earlier ones. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from batchllm.errors import ErrorCode
from batchllm.records import Record, usage_from
from batchllm.sample import Sample
from batchllm.steps import Asked, Done, Finished
from batchllm.strictjson import loads
from batchllm.tally import Tally, fields_of
from batchllm.types import Json


class Books:
    """Counts into one `Tally`: records by their last attempt, every other attempt by its own note."""

    def __init__(self, *, sampled: bool = False) -> None:
        self.tally = Tally()
        self._sampled = sampled
        self.sample = Sample()

    # -- what earlier runs left ------------------------------------------------------------------------------------

    def earlier(self, record: Json) -> None:
        """What a record or note of an earlier run was billed."""
        facts = record.get("batchllm")
        if not isinstance(facts, dict):
            self._bill(record)
            return
        self.tally.add_at_most(facts.get("at_most"))
        billed = facts.get("billed", "yes")
        self.tally.duplicates += "duplicate_of" in facts and "retryable" not in facts
        if billed == "maybe":
            self.tally.outcome_unknown += 1
        if billed != "yes":
            return
        cost, usage, rejected = facts.get("cost_usd"), facts.get("usage"), record.get("error") is not None
        if type(usage) is dict and not rejected and "rejected_usage" not in facts:
            self.tally.earlier_result(usage, cost)
            return
        # Where an attempt before the last has no known cost, the record has none, but its last attempt may have.
        cost = facts.get("last_cost_usd") if cost is None else cost - (facts.get("rejected_cost_usd") or 0.0)
        self.tally.earlier(usage_from(usage), usage_from(facts.get("rejected_usage")), cost, rejected=rejected)

    def answered_earlier(self, facts: Json) -> None:
        """A line that an earlier run answered under settings that still hold."""
        self.sample.add(facts, ok=True)

    def failed_earlier(self, line: int, record: Json) -> None:
        """A line that failed for good in an earlier run, and stays so."""
        error = record.get("error") or {}
        self.tally.add_failure(str(error.get("code")), line, str(record.get("custom_id")), str(error.get("message")))
        self.tally.add_problems(record.get("fields", ()))
        self.sample.count(ok=False, invalid=error.get("code") == ErrorCode.SCHEMA_INVALID)

    # -- what this run adds ----------------------------------------------------------------------------------------

    def done(self, step: Done, item: Asked) -> None:
        """The request that a step ended: its time, and what its last attempt was billed."""
        tally, facts = self.tally, step.record.facts
        tally.requests += 1
        tally.latency.add(facts["latency_s"])
        tally.add_at_most(facts.get("at_most"))
        if facts["ttft_s"] is not None:
            tally.ttft.add(facts["ttft_s"])
            if facts["tokens_per_s"] is not None:
                tally.token_rate.add(facts["tokens_per_s"])
        if item.last.billed == "yes":
            tally.add_usage(item.last.usage, rejected=not step.record.ok)
            tally.add_cost(item.last.cost_usd, rejected=not step.record.ok)
        elif item.last.billed == "maybe":
            tally.outcome_unknown += 1

    def record(self, record: Record, model: object) -> None:
        """One line's end: an answer of `model`, or a failure."""
        tally = self.tally
        if self._sampled:
            self.sample.add(record.facts, ok=record.ok, invalid=record.code is ErrorCode.SCHEMA_INVALID)
        if record.ok:
            tally.done += 1
            tally.answered_by(record.facts.get("model") or model)
        else:
            tally.failed += 1
            tally.add_failure(str(record.code), record.line, record.custom_id, record.message)
            tally.add_problems(fields_of(record.facts))

    def answered(self, answers: Sequence[Finished]) -> None:
        """The same as `done` and `record` of each."""
        tally = self.tally
        tally.requests += len(answers)
        tally.done += len(answers)
        for one in answers:
            tally.latency.add(one.latency_s)
            if one.ttft_s is not None:
                tally.ttft.add(one.ttft_s)
                if one.tokens_per_s is not None:
                    tally.token_rate.add(one.tokens_per_s)
            tally.add_usage(one.last.usage)
            tally.add_cost(one.last.cost_usd)
            tally.answered_by(one.model)
            if self._sampled:
                self.sample.add(loads(one.record)["batchllm"], ok=True)

    def note(self, note: Json) -> None:
        """An attempt that did not become a record, or a turn of a conversation."""
        self.tally.requests += 1
        if "turn" not in note:
            self.tally.retries[note["code"]] += 1
        self._bill(note)

    def _bill(self, note: Json) -> None:
        self.tally.add_at_most(note.get("at_most"))
        if note.get("billed") == "yes":
            self.tally.add_usage(usage_from(note.get("usage")), rejected="turn" not in note)
            self.tally.add_cost(note.get("cost_usd"), rejected="turn" not in note)
        elif note.get("billed") == "maybe":
            self.tally.outcome_unknown += 1
