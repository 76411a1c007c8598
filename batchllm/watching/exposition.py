"""A run as Prometheus reads it: the text format for node_exporter's textfile collector. Pure.

Names follow Prometheus' own rules: a prefix, base units in the name, `_total` for what only grows. The job is the label
`batch`, since `job` is Prometheus' own. Counters begin anew with each run, but for tokens and cost, which are the folder's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from batchllm.tally import Histogram
from batchllm.types import Json

QUANTILES = (0.5, 0.9, 0.99)
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_SUCCESS = re.compile(rb"^batchllm_last_success_timestamp_seconds(?:\{[^\n]*\})? ([0-9.e+]+)$", re.M)


@dataclass(slots=True)
class _Family:
    """One metric with its samples: labels, what is behind the name, value."""

    name: str
    kind: str
    about: str
    samples: list[tuple[dict[str, str], str, float]] = field(default_factory=list)

    def lines(self, batch: str) -> Iterator[str]:
        if not self.samples:
            return
        yield f"# HELP {self.name} {self.about}\n# TYPE {self.name} {self.kind}\n"
        for labels, suffix, value in self.samples:
            pairs = ",".join(f'{key}="{text.translate(_ESCAPED)}"' for key, text in ({"batch": batch} | labels).items())
            yield f"{self.name}{suffix}{{{pairs}}} {_number(value)}\n"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known beside the facts of a run: times are seconds of the wall clock; `code` None while it goes."""

    started: float
    now: float
    code: int | None = None
    last_success: float | None = None


def exposition(facts: Json, latency: Histogram, moment: Moment, batch: str) -> bytes:
    """The whole file. `facts` are `watching.facts`; of a run that was refused, the empty ones."""
    families = (*_run(facts, moment), *_work(facts), *_time(latency))
    return "".join(line for family in families for line in family.lines(batch)).encode("utf-8", "replace")


def last_success(earlier: bytes) -> float | None:
    """When the run before last succeeded, out of the file it left."""
    found = _SUCCESS.search(earlier)
    return float(found[1]) if found else None


def _run(facts: Json, moment: Moment) -> Iterator[_Family]:
    yield _one("batchllm_run_active", "gauge", "Whether a run is at work.", float(moment.code is None))
    yield _one("batchllm_run_start_timestamp_seconds", "gauge", "When the last run began.", moment.started)
    yield _one("batchllm_updated_timestamp_seconds", "gauge", "When this was written.", moment.now)
    if moment.code is not None:
        yield _one("batchllm_run_exit_code", "gauge", "How the last run ended; absent while one goes.", moment.code)
        yield _one("batchllm_run_end_timestamp_seconds", "gauge", "When the last run ended.", moment.now)
    if moment.last_success is not None:
        about = "When a run last ended with exit code 0."
        yield _one("batchllm_last_success_timestamp_seconds", "gauge", about, moment.last_success)
    if facts:
        labels = {name: str(facts.get(name) or "") for name in ("provider", "model")}
        yield _Family("batchllm_run_info", "gauge", "What the last run was.", [(labels, "", 1.0)])


def _work(facts: Json) -> Iterator[_Family]:
    if not facts:
        return
    counts = {state: facts["request_counts"][state] for state in ("completed", "failed", "pending")}
    yield _by("batchllm_lines", "gauge", "Lines of the job by where they stand.", "state", counts)
    yield _one("batchllm_requests_total", "counter", "Requests that ended in this run.", facts["requests"])
    yield _by("batchllm_retries_total", "counter", "Attempts that were repeated, by cause.", "code", facts["retries"])
    yield _by("batchllm_failed_lines", "gauge", "Lines that failed for good, by cause.", "code", facts["failures"])
    usage = {name.removesuffix("_tokens"): value for name, value in facts["usage"].items() if value is not None}
    usage.pop("total", None)
    yield _by("batchllm_tokens_total", "counter", "Tokens that all runs into the folder were billed.", "type", usage)
    if facts["cost_usd"] is not None:
        yield _one("batchllm_cost_usd_total", "counter", "US dollars that all runs into the folder cost.", facts["cost_usd"])
    yield _one("batchllm_requests_in_flight", "gauge", "Requests on their way.", facts["in_flight"])
    yield _one("batchllm_requests_in_flight_limit", "gauge", "How many may be on their way now.", facts["limit"])
    yield _one("batchllm_lines_waiting", "gauge", "Lines that wait to be asked again.", facts["waiting"])
    yield _one("batchllm_paused", "gauge", "Whether the run was paused by hand.", float(facts["state"] == "paused"))


def _time(latency: Histogram) -> Iterator[_Family]:
    if not latency.count:
        return
    found = _Family("batchllm_request_duration_seconds", "summary", "Time from sending a request to the end of its reply.")
    for share in QUANTILES:
        found.samples.append(({"quantile": f"{share:g}"}, "", latency.percentile(share) or 0.0))
    found.samples.append(({}, "_sum", sum(middle * count for middle, count in latency.values())))
    found.samples.append(({}, "_count", latency.count))
    yield found


def _one(name: str, kind: str, about: str, value: float) -> _Family:
    return _Family(name, kind, about, [({}, "", value)])


def _by(name: str, kind: str, about: str, label: str, values: dict[str, Any]) -> _Family:
    return _Family(name, kind, about, [({label: key}, "", value) for key, value in values.items()])


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
