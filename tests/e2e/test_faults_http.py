"""Every fault a server can cause, through the whole pipeline: rows H1 to H37, P1 to P19 and Q1 to Q11 of the catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from batchllm.transports import TRANSPORTS, preferred
from tests.e2e.trial import Trial, leaks
from tests.e2e.trial import attempt as tried
from tests.faultserver import have_openssl
from tests.faultserver.catalogue import CATALOGUE, Fault
from tests.faultserver.rows_streams import STREAMED
from tests.faultserver.rows_transport import TRANSPORT

Facts = dict[str, Any]

OWNED_UP: dict[str, Callable[[Trial, Facts], bool]] = {
    "resume at": lambda trial, record: bool(trial.summary["ended"]["resume_after"]),
    "usage unknown": lambda trial, record: trial.summary["usage_unknown"] > 0,
    "model": lambda trial, record: "other-model" in trial.summary["models"],
    "duplicate": lambda trial, record: bool(record["batchllm"].get("duplicate_keys")),
}
"""How a record or the summary says what a fault's `flags` name; any other flag is a word of the message."""


ASKED = os.environ.get("BATCHLLM_TEST_TRANSPORT")
"""One transport for every row. Without it the preferred one has them all, the others those that transports can differ in."""

Case = tuple[str, Fault]


def cases(faults: Iterable[Fault]) -> list[Any]:
    """Faults by the transport that meets them."""
    shared = (*TRANSPORT, *STREAMED)
    return [
        pytest.param((name, fault), id=f"{name}-{fault.name}")
        for fault in faults
        for name in TRANSPORTS
        if (name == ASKED if ASKED else name == preferred() or fault in shared)
    ]


def attempt(case: Case, tmp_path: Path, **more: Any) -> Trial:
    name, fault = case
    if needs_openssl(fault):
        pytest.skip("certificates are made by openssl")
    if name not in ("aiohttp", preferred()):
        pytest.skip(f"{name} is not installed")
    return tried(fault, tmp_path, transport=name, **more)


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


@pytest.mark.parametrize("case", cases(CATALOGUE))
def test_a_fault_comes_to_what_the_catalogue_says(case: Case, tmp_path: Path) -> None:
    _, fault = case
    trial = attempt(case, tmp_path)
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


@pytest.mark.parametrize("case", cases(one for one in CATALOGUE if one.expect.free))
def test_being_told_to_wait_uses_up_no_attempt(case: Case, tmp_path: Path) -> None:
    trial = attempt(case, tmp_path, retries={"max_attempts": 1})
    check_record(case[1], trial)


@pytest.mark.parametrize("case", cases(one for one in CATALOGUE if one.expect.memory_mb))
def test_no_reply_takes_the_memory(case: Case, tmp_path: Path, peak_mb: Callable[[], float]) -> None:
    _, fault = case
    attempt(case, tmp_path)
    assert fault.expect.memory_mb is not None
    assert peak_mb() < fault.expect.memory_mb


@pytest.mark.sweep
@pytest.mark.parametrize("case", cases(one for one in CATALOGUE if not one.expect.slow))
def test_a_fault_comes_to_the_same_on_a_clock_that_does_not_jump(case: Case, tmp_path: Path) -> None:
    _, fault = case
    trial = attempt(case, tmp_path, real_time=True)
    check_record(fault, trial)
    check_waits(fault, trial)
