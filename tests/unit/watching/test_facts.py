"""What is kept of the last minutes of a run, and what is drawn of it."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from batchllm.errors import ErrorCode
from batchllm.steps import Finished
from batchllm.watching import Watchers
from batchllm.watching.control import Control
from batchllm.watching.facts import SLOWEST, TROUBLES, Recent
from batchllm.watching.log import Log
from batchllm.watching.metrics_file import MetricsFile
from batchllm.watching.screen import clean, screen
from tests.unit.watching.looked_at import Asked, done, note


def test_only_what_came_to_no_answer_is_trouble_and_only_the_last_of_it_is_kept() -> None:
    recent, item = Recent(), Asked()
    recent.step(done(), item)  # type: ignore[arg-type]
    recent.step({"turn": 1, "line": 3}, item)  # type: ignore[arg-type]
    assert recent.troubles() == []
    for number in range(TROUBLES + 5):
        recent.step(note(message=f"number {number}"), item)  # type: ignore[arg-type]
    recent.step(done(ErrorCode.REFUSAL, message="no"), item)  # type: ignore[arg-type]
    found = recent.troubles()
    assert len(found) == TROUBLES
    assert (found[-1]["code"], found[-1]["final"]) == ("refusal", True)
    assert (found[-2]["message"], found[-2]["final"]) == (f"number {TROUBLES + 4}", False)


def test_the_slowest_requests_of_the_run_are_kept_the_slowest_first() -> None:
    recent = Recent()
    for line in range(1, 40):
        recent.step(done(line=line, latency_s=float(line % 13)), Asked())  # type: ignore[arg-type]
    assert [one["latency_s"] for one in recent.slowest()] == [12.0, 12.0, 12.0, 11.0, 11.0][:SLOWEST]


def test_answers_told_together_count_as_one_by_one() -> None:
    one_by_one, together = Recent(), Recent()
    for line in range(1, 40):
        one_by_one.step(done(line=line, latency_s=float(line % 13)), Asked())  # type: ignore[arg-type]
    charge = Asked().last
    together.answered([Finished(line, f"doc-{line}", b"", "m", float(line % 13), None, None, charge) for line in range(1, 40)])
    assert together.slowest() == one_by_one.slowest()
    later = time.monotonic() + 2.0
    assert together.rates(later) == one_by_one.rates(later)


def test_answers_are_told_without_their_records_only_where_nobody_looks_at_records(tmp_path: Path) -> None:
    glancing = [Recent(), Control(tmp_path, Recent()), MetricsFile(tmp_path / "m", "job", Recent())]
    assert not Watchers(glancing).want_records
    assert Watchers([*glancing, Log()]).want_records
    assert Watchers([*glancing, Broken()]).want_records


def test_a_watcher_that_fails_at_answers_is_dropped_and_the_others_hear_of_them(capsys: Any) -> None:
    class Glancing(Broken):
        def answered(self, answers: Any) -> None:
            self._fail()

    broken, recent = Glancing(), Recent()
    watchers = Watchers([recent, broken])
    for line in (1, 2):
        watchers.answered([Finished(line, "doc", b"", None, 1.0, None, None, Asked().last)])
    assert broken.calls == 1
    assert "KeyError in Glancing" in capsys.readouterr().err
    assert len(recent.slowest()) == 2


def test_long_texts_are_cut() -> None:
    recent = Recent()
    recent.step(note(message="x" * 100_000), Asked())  # type: ignore[arg-type]
    assert len(recent.troubles()[0]["message"]) == 300


class Broken:
    """A watcher with a defect."""

    def __init__(self) -> None:
        self.calls = 0

    def started(self, run: Any) -> None:
        self._fail()

    def step(self, came: Any, item: Any) -> None:
        self._fail()

    def finished(self, summary: Any, code: int) -> None:
        self._fail()

    def _fail(self) -> None:
        self.calls += 1
        raise KeyError("defect")


@pytest.mark.parametrize("first", ["started", "step", "finished"])
def test_a_watcher_that_fails_is_named_and_dropped_and_the_others_go_on(first: str, capsys: Any) -> None:
    broken, recent = Broken(), Recent()
    watchers = Watchers([broken, recent])
    calls = {
        "started": lambda: watchers.started(None),  # type: ignore[arg-type]
        "step": lambda: watchers.step(note(), Asked()),  # type: ignore[arg-type]
        "finished": lambda: watchers.finished({}, 0),
    }
    calls[first]()
    for one in calls.values():
        one()
    assert broken.calls == 1
    assert "KeyError in Broken" in capsys.readouterr().err
    assert recent.troubles()


TOLD: dict[str, Any] = {
    "state": "paused", "pid": 42, "job": "jobs/extract.jsonl", "endpoint": "https://api.example.com", "model": "m",
    "simulated": False, "seconds": 90.0, "until": "06:30", "seconds_left": 600,
    "request_counts": {"total": 100, "completed": 40, "failed": 10, "pending": 50},
    "requests_per_s": 12.5, "tokens_per_s": 1234.0, "in_flight": 7, "limit": 9, "concurrency": 64, "rpm": 600.0, "tpm": None,
    "pace_per_s": 11.5, "waiting": 3, "waits_for": ["ctl resume"], "usage": {"prompt_tokens": 80_000, "completion_tokens": None},
    "cost_usd": 1.25, "retries": {"rate_limited": 4}, "latency_s": {"p50": 1.0, "p99": 2.0},
    "troubles": [{"at": "2026-01-01T01:02:03+00:00", "line": 7, "code": "timeout", "message": "\x1b[2Jgone\n[bold]x", "final": True}],
    "slowest": [{"latency_s": 9.5, "line": 8, "custom_id": "doc-\u202e8"}],
}  # fmt: skip


def drawn(told: dict[str, Any], width: int = 110) -> str:
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(screen(told))
    return console.export_text()


def test_the_picture_shows_rates_limits_errors_and_cost() -> None:
    text = drawn(TOLD)
    for shown in ("paused", "50.0 %", "90 s", "10 min to go", "7 of 9", "64, rpm 600, learned 11.5/s", "$1.25", "80,000", "unknown",
                  "12.5", "1,234", "3 retries", "waits for ctl resume", "timeout", "9.50", "until"):  # fmt: skip
        assert shown in text, shown


WORKER: dict[str, Any] = {"node": "gpu-1", "in_flight": 64, "requests": 9100, "answered": 9000, "failed": 36, "lost": 2}


def test_the_picture_has_a_row_for_each_worker_those_that_are_gone_first() -> None:
    workers = [{**WORKER, "worker": number, "in_flight": None if number == 9 else 64} for number in range(1, 10)]
    text = drawn({**TOLD, "workers": workers})
    for shown in ("workers, 6 of 9", "gpu-1", "9,100", "9,000", "36"):
        assert shown in text, shown
    rows = [line for line in text.splitlines() if "gpu-1" in line]
    assert len(rows) == 6
    assert "not at work" in rows[0]
    assert "workers" not in drawn(TOLD)


def test_foreign_text_cannot_move_the_cursor_or_style_anything() -> None:
    text = drawn(TOLD)
    assert "\x1b" not in text
    assert "\\x1b[2Jgone\\n[bold]x" in text
    assert "doc-\\x202e8" in text
    assert clean("a\tb\r\nc") == "a b\\x0d\\nc"


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_the_picture_fits_any_width(width: int) -> None:
    assert max(map(len, drawn(TOLD, width).splitlines())) <= width
