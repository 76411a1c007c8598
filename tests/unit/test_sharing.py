"""The file that processes share limits by, and a run's part in it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.settings import Settings, checked
from batchllm.sharing import shared
from batchllm.sharing.ledger import BUSY_S, Ledger, state_folder
from batchllm.throttle import Throttle
from batchllm.throttle.pool import Ask
from batchllm.throttle.shared import Report

ROOT = Path(__file__).parents[2]
NOTHING = Ask(None)
MUCH = Report(Ask(600.0, need=1.0, want=100.0), NOTHING)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return state_folder()


def settings(**more: object) -> Settings:
    return checked({"limits": {"share": "account"}, **more}, {})


def test_two_ledgers_of_one_name_share_and_of_two_names_do_not(tmp_path: Path) -> None:
    clock = Clock()
    one, two, other = (Ledger(tmp_path / "x", name, clock) for name in ("a", "a", "b"))
    assert [led.exchange(MUCH).requests.amount for led in (one, two, other)] == [10, 0, 10]
    for ledger in (one, two, other):
        ledger.leave(MUCH)


def test_its_folder_and_file_are_for_the_owner_only(tmp_path: Path) -> None:
    Ledger(tmp_path / "a" / "b", "name", time.monotonic).leave(MUCH)
    (file,) = (tmp_path / "a" / "b").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(JobError, match=r"limits\.share: .*writable by nobody else") as caught:
        Ledger(tmp_path / "open", "name", time.monotonic)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""], ids=["garbage", "empty"])
def test_a_file_that_was_broken_or_removed_is_met_without_ending_the_run(tmp_path: Path, content: bytes) -> None:
    """Broken: alone, with this member's part of the limits. Removed or replaced: anew."""
    clock = Clock()
    one, two = Ledger(tmp_path, "a", clock), Ledger(tmp_path, "a", clock)
    one.exchange(MUCH)
    two.exchange(MUCH)
    one.exchange(MUCH)
    (file,) = tmp_path.glob("*.sqlite3")
    broken = tmp_path / "broken"
    broken.write_bytes(content)
    broken.replace(file)
    answer = one.exchange(MUCH)
    assert (one.fault is not None, answer.requests.limit) == ((True, 300.0) if content else (False, 600.0))
    file.unlink()
    clock.now += 6
    assert one.exchange(MUCH).requests.limit == 600.0
    assert one.fault is None
    one.leave(MUCH)
    two.leave(MUCH)


def test_a_file_that_somebody_holds_is_not_waited_for_for_long(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "a", time.monotonic)
    (file,) = tmp_path.glob("*.sqlite3")
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    assert ledger.exchange(MUCH).requests.amount > 0
    assert ledger.fault is not None
    assert time.monotonic() - begun < BUSY_S + 5
    holder.close()
    ledger.leave(MUCH)


def test_members_that_are_killed_in_mid_visit_leave_a_file_that_works(tmp_path: Path) -> None:
    survivor = Ledger(tmp_path, "account", time.monotonic)
    for pause_s in (0.003, 0.011, 0.017, 0.029):
        crew = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.unit.sharing_child", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
            )
            for _ in range(2)
        ]
        try:
            for one in crew:
                assert one.stdout is not None
                assert one.stdout.readline() == b"begun\n"
            threading.Event().wait(pause_s)
        finally:
            for one in crew:
                one.kill()
                one.communicate()
        answer = survivor.exchange(MUCH)
        assert survivor.fault is None
        assert answer.requests.limit == 600.0
    survivor.leave(MUCH)


def test_files_of_earlier_boots_are_removed_once_they_are_old(tmp_path: Path) -> None:
    old, young, other = (tmp_path / f"{name}.sqlite3" for name in ("a.0123", "a.4567", "b.0123"))
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    Ledger(tmp_path, "a", time.monotonic).leave(MUCH)
    assert [path.exists() for path in (old, young, other)] == [False, True, True]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "a b", "x" * 65, "a.b"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(JobError, match=r"limits\.share: is a name of letters"):
        checked({"limits": {"share": name}}, {})


def test_without_a_name_nothing_is_made(home: Path) -> None:
    async def run() -> None:
        throttle = Throttle(4, 0.0, rpm=60)
        async with shared(checked({}, {}), throttle, pytest.fail):
            assert throttle.wait(0.0) == 0

    asyncio.run(run())
    assert not home.exists()


def test_a_pause_that_one_meets_is_kept_by_the_others_within_a_second(home: Path) -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        met, other = Throttle(4, loop.time(), rpm=60), Throttle(4, loop.time(), rpm=60)
        async with shared(settings(rpm=60), met, pytest.fail), shared(settings(rpm=60), other, pytest.fail):
            begun = loop.time()
            met.pause.told(begun, 30.0)
            heard = asyncio.Event()
            other.on_change = lambda: heard.set() if other.pause.still_closed else None
            await asyncio.wait_for(heard.wait(), 10)
            assert other.pause.until == met.pause.until
            return loop.time() - begun

    assert asyncio.run(run()) < 1.0


def test_a_lower_limit_of_another_is_kept_to_and_told(home: Path) -> None:
    told: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        low, high = Throttle(4, loop.time()), Throttle(4, loop.time())
        async with shared(settings(rpm=60), low, pytest.fail), shared(settings(rpm=600, tpm=1000), high, told.append):
            assert (high.rpm, high.tpm) == (60, 1000)

    asyncio.run(run())
    assert told == ["shared limits: rpm is 60, as another process says; this one says 600"]


def test_what_the_run_raises_comes_out_as_it_is(home: Path) -> None:
    async def run() -> None:
        async with shared(settings(), Throttle(4, 0.0), pytest.fail):
            raise JobError(ExitCode.ACCOUNT, "no credit")

    with pytest.raises(JobError, match="no credit"):
        asyncio.run(run())
