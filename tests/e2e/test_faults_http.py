"""Every fault a server can cause, through the whole pipeline: rows H1 to H37, P1 to P19 and Q1 to Q11 of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.trial import Trial, attempt, leaks
from tests.faultserver import have_openssl
from tests.faultserver.catalogue import CATALOGUE, Fault

Facts = dict[str, Any]

OWNED_UP: dict[str, Callable[[Trial, Facts], bool]] = {
    "resume at": lambda trial, record: bool(trial.summary["ended"]["resume_after"]),
    "usage unknown": lambda trial, record: trial.summary["usage_unknown"] > 0,
    "model": lambda trial, record: "other-model" in trial.summary["models"],
    "duplicate": lambda trial, record: bool(record["batchllm"].get("duplicate_keys")),
}
"""How a record or the summary says what a fault's `flags` name; any other flag is a word of the message."""


def needs_openssl(fault: Fault) -> bool:
    return fault.tls not in (None, "plain") and not have_openssl()


@pytest.fixture
def peak_mb() -> Callable[[], float]:
    """Megabytes of resident memory that the process grew by since the fixture was made, at most (Linux only)."""
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel does not tell the peak of the resident memory")
    before = _peak(status)
    return lambda: _peak(status) - before


def _peak(status: Path) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("fault", CATALOGUE, ids=lambda fault: fault.name)
def test_a_fault_comes_to_what_the_catalogue_says(fault: Fault, tmp_path: Path) -> None:
    if needs_openssl(fault):
        pytest.skip("certificates are made by openssl")
    trial = attempt(fault, tmp_path)
    check_record(fault, trial)
    check_waits(fault, trial)
    check_flags(fault, trial)
    assert trial.elsewhere == [], "another host heard of it"
    assert leaks(trial.files) == []
    check_books(fault, trial)


def check_record(fault: Fault, trial: Trial) -> None:
    expect, first = fault.expect, fault.texts[0]
    record = trial.records.get(first)
    least, most = expect.requests
    assert trial.exit_code in expect.exit_codes, trial.summary["ended"]
    assert least <= len(trial.requests) <= most, [note["message"] for note in trial.notes]
    assert (record is None) == expect.pending, record
    allowed = {expect.outcome, *expect.also}
    if record is None:
        named = {note["code"] for note in trial.notes if note["custom_id"] == first}
        assert named <= allowed
        assert named
        return
    code = record["error"]["code"] if record["error"] else "ok"
    assert code in allowed, record
    if expect.keep_raw and code != "ok":
        assert record["response"]["body"] is not None or record["batchllm"].get("raw")
    if code == "ok":
        check_answer(fault, record)


def check_answer(fault: Fault, record: Facts) -> None:
    expect = fault.expect
    message = record["response"]["body"]["choices"]
    if expect.content is not None:
        first = next(choice for choice in message if choice.get("index", 0) == 0)
        assert expect.content in first["message"]["content"]
    if expect.reasoning is not None:
        assert record["batchllm"]["reasoning"] == expect.reasoning
    if expect.usage is not None:
        usage = record["batchllm"]["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == expect.usage


def check_waits(fault: Fault, trial: Trial) -> None:
    expect = fault.expect
    if not expect.wait_s or len(trial.times) < 2:
        return
    gap = trial.times[1] - trial.times[0]
    assert expect.wait_s <= gap <= expect.within_s


def check_flags(fault: Fault, trial: Trial) -> None:
    first = fault.texts[0]
    record = trial.records.get(first, {})
    said = (record.get("error") or {}).get("message", "") + trial.summary["ended"]["reason"]
    for flag in fault.expect.flags:
        holds = OWNED_UP[flag](trial, record) if flag in OWNED_UP else flag in said
        assert holds, f"nobody says {flag!r}: {said}"


def check_books(fault: Fault, trial: Trial) -> None:
    """Every line is answered, failed or pending; every request has left its trace."""
    counts = trial.summary["request_counts"]
    assert counts["total"] == fault.items == counts["completed"] + counts["failed"] + counts["pending"]
    assert len(trial.records) == counts["completed"] + counts["failed"]
    assert trial.summary["requests"] == len(trial.notes) + len(trial.records)
    # A request may end before the server has read it whole, never the other way round.
    assert len(trial.requests) <= trial.summary["requests"]


@pytest.mark.parametrize("fault", [one for one in CATALOGUE if one.expect.free], ids=lambda fault: fault.name)
def test_being_told_to_wait_uses_up_no_attempt(fault: Fault, tmp_path: Path) -> None:
    trial = attempt(fault, tmp_path, retries={"max_attempts": 1})
    check_record(fault, trial)


@pytest.mark.parametrize("fault", [one for one in CATALOGUE if one.expect.memory_mb], ids=lambda fault: fault.name)
def test_no_reply_takes_the_memory(fault: Fault, tmp_path: Path, peak_mb: Callable[[], float]) -> None:
    attempt(fault, tmp_path)
    assert fault.expect.memory_mb is not None
    assert peak_mb() < fault.expect.memory_mb


@pytest.mark.sweep
@pytest.mark.parametrize("fault", [one for one in CATALOGUE if not one.expect.slow], ids=lambda fault: fault.name)
def test_a_fault_comes_to_the_same_on_a_clock_that_does_not_jump(fault: Fault, tmp_path: Path) -> None:
    if needs_openssl(fault):
        pytest.skip("certificates are made by openssl")
    trial = attempt(fault, tmp_path, real_time=True)
    check_record(fault, trial)
    check_waits(fault, trial)
