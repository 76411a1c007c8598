"""What a verification found: each way a folder can be wrong, counted, with the first few to look at. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from batchllm.types import Json

SHOWN = 20


class Flaw(StrEnum):
    """One kind of thing that does not hold. The order is the order in which people should read them."""

    DAMAGED = "damaged"
    TORN = "torn"
    MALFORMED = "malformed"
    REPEATED_KEY = "repeated_key"
    UNKNOWN_CUSTOM_ID = "unknown_custom_id"
    TWICE = "twice"
    CHANGED = "changed"
    OTHER_SETTINGS = "other_settings"
    NOT_PARSED = "not_parsed"
    SCHEMA_INVALID = "schema_invalid"
    BAD_JOB_LINE = "bad_job_line"
    PENDING = "pending"
    BEYOND_LIMIT = "beyond_limit"
    TOTALS = "totals"
    # What follows is told, and refutes nothing.
    REMOVED = "removed"
    MOVED = "moved"
    REPLY_REPEATS_KEY = "reply_repeats_key"
    NOT_CHECKED = "not_checked"


MEANING = {
    Flaw.DAMAGED: "lines that are no record; `batchllm verify --repair` moves them aside",
    Flaw.TORN: "the last line is not finished; the next run mends that",
    Flaw.MALFORMED: "records that are not as records are written",
    Flaw.REPEATED_KEY: "records in which a key stands twice",
    Flaw.UNKNOWN_CUSTOM_ID: "records of a custom_id that the job does not have",
    Flaw.TWICE: "lines with more than one record",
    Flaw.CHANGED: "lines whose content is not what was asked",
    Flaw.OTHER_SETTINGS: "answers made with settings that job.json does not accept",
    Flaw.NOT_PARSED: "answers without `parsed`, though a schema was asked for",
    Flaw.SCHEMA_INVALID: "answers whose `parsed` does not hold to the schema",
    Flaw.BAD_JOB_LINE: "lines of the job that nothing can answer",
    Flaw.PENDING: "lines of the job without a record",
    Flaw.BEYOND_LIMIT: "lines beyond the last run's --limit, without a record",
    Flaw.TOTALS: "totals of summary.json that do not add up",
    Flaw.REMOVED: "answers to lines that the job no longer has, named by the last run; they are kept",
    Flaw.MOVED: "records whose line has another number now",
    Flaw.REPLY_REPEATS_KEY: "replies in which the server wrote a key twice; the last one counts",
    Flaw.NOT_CHECKED: "not checked",
}
HARMLESS = frozenset({Flaw.REMOVED, Flaw.MOVED, Flaw.REPLY_REPEATS_KEY, Flaw.NOT_CHECKED})


@dataclass(frozen=True, slots=True)
class Finding:
    """One place. `line` counts lines of the job and `at` lines of `file`; 0 and empty where there is none."""

    message: str
    line: int = 0
    custom_id: str = ""
    file: str = ""
    at: int = 0

    def as_json(self) -> Json:
        return {
            "line": self.line or None,
            "custom_id": self.custom_id or None,
            "file": self.file or None,
            "at": self.at or None,
            "message": self.message,
        }


@dataclass(slots=True)
class Findings:
    """All of them counted, the first `SHOWN` of each kind kept."""

    counts: Counter[Flaw] = field(default_factory=Counter)
    examples: dict[Flaw, list[Finding]] = field(default_factory=dict)

    def add(self, flaw: Flaw, finding: Finding, count: int = 1) -> None:
        self.counts[flaw] += count
        self.show(flaw, finding)

    def show(self, flaw: Flaw, finding: Finding) -> None:
        """Keep an example of what was counted already."""
        shown = self.examples.setdefault(flaw, [])
        if len(shown) < SHOWN:
            shown.append(finding)

    @property
    def damaged(self) -> bool:
        return bool(self.counts[Flaw.DAMAGED])

    @property
    def refuted(self) -> bool:
        return any(self.counts[flaw] for flaw in Flaw if flaw not in HARMLESS)

    def kinds(self) -> list[Flaw]:
        """What was found, in reading order."""
        return [flaw for flaw in Flaw if self.counts[flaw]]

    def as_json(self) -> Json:
        return {
            str(flaw): {
                "count": self.counts[flaw],
                "meaning": MEANING[flaw],
                "refutes": flaw not in HARMLESS,
                "examples": [one.as_json() for one in self.examples.get(flaw, ())],
            }
            for flaw in self.kinds()
        }
