"""What is kept of the last minutes of a run, and what is drawn of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from batchllm.errors import ErrorCode
from batchllm.watching import Watchers
from batchllm.watching.facts import SLOWEST, TROUBLES, Recent
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


def test_foreign_text_cannot_move_the_cursor_or_style_anything() -> None:
    text = drawn(TOLD)
    assert "\x1b" not in text
    assert "\\x1b[2Jgone\\n[bold]x" in text
    assert "doc-\\x202e8" in text
    assert clean("a\tb\r\nc") == "a b\\x0d\\nc"


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_the_picture_fits_any_width(width: int) -> None:
    assert max(map(len, drawn(TOLD, width).splitlines())) <= width
