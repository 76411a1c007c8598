"""What may be set while a run goes, and what the throttle makes of it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from batchllm.engines.gate import Gate
from batchllm.pipeline import Run
from batchllm.testing.virtual_clock import run_virtual
from batchllm.throttle import Throttle
from batchllm.throttle.bucket import Bucket
from batchllm.watching.address import bind, is_ours
from batchllm.watching.orders import Limits, assignments, limits_from
from tests.e2e import jumping
from tests.e2e.trial import Trial, conduct, write_job
from tests.faultserver import FaultServer, ok_chat


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        (["concurrency=8"], Limits(8)),
        (["rpm=120", "tpm=9e4"], Limits(None, 120.0, 90_000.0)),
        (["rpm=none"], Limits(None, 0.0)),
    ],
)
def test_words_become_limits(words: list[str], limits: Limits) -> None:
    assert limits_from(assignments(words)) == limits


@pytest.mark.parametrize(
    "words",
    [[], ["concurrency"], ["concurrency=0"], ["concurrency=1.5"], ["concurrency=none"], ["rpm=0"], ["rpm=-1"], ["rpm=x"],
     ["rpm=nan"], ["tpm=inf"], ["concurrency=100001"], ["model=other"]],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_set_is_refused_with_a_sentence(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        assignments(words)


@pytest.mark.parametrize("order", [{"concurrency": True}, {"rpm": "5"}, {"tpm": [1]}, {"do": "set", "x": 1}, {"rpm": False}])
def test_an_order_of_wrong_types_is_refused(order: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        limits_from(order)


def test_nothing_goes_while_the_throttle_is_held_and_waiters_go_at_once_when_it_is_not() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        gate = Gate(Throttle(4, loop.time()))
        gate.throttle.hold(True)
        entering = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await asyncio.sleep(3600)
        assert not any(one.done() for one in entering)
        gate.throttle.hold(False)
        await asyncio.gather(*entering)
        assert loop.time() == 1000.0 + 3600
        assert gate.throttle.limiter.in_flight == 3

    run_virtual(main())


def test_a_lower_cap_holds_back_at_once_and_a_higher_one_lets_waiters_in() -> None:
    throttle = Throttle(10, 0.0)
    for _ in range(10):
        throttle.sent(0.0)
    throttle.relimit(0.0, cap=4)
    throttle.succeeded(0.0, 1.0)
    assert throttle.limiter.in_flight == 9
    assert throttle.wait(1.0) == float("inf")
    for _ in range(6):
        throttle.succeeded(0.0, 1.0)
    assert throttle.wait(1.0) == 0
    throttle.relimit(2.0, cap=40)
    now = 2.0
    while throttle.limiter.limit < 40 and now < 100:
        now += 1.0
        while throttle.limiter.in_flight < throttle.limiter.limit:
            throttle.sent(now)
        while throttle.limiter.in_flight:
            throttle.succeeded(now, now + 0.9)
    assert throttle.limiter.limit == 40


def test_what_went_in_the_last_minute_counts_against_a_lower_limit() -> None:
    bucket = Bucket(60.0, 60.0, 0.0)
    for second in range(30):
        bucket.take(float(second), 1.0)
    bucket.relimit(20.0, 1.0)
    assert bucket.wait(30.0, 1.0) > 10
    assert bucket.limit == 20.0


def test_a_limit_can_be_lifted_and_set_where_there_was_none() -> None:
    throttle = Throttle(10, 0.0, rpm=60)
    throttle.relimit(0.0, rpm=0.0, tpm=6000.0)
    assert (throttle.rpm, throttle.tpm) == (None, 6000.0)
    assert throttle.counts_tokens


def test_a_paused_run_still_ends_at_its_deadline(tmp_path: Path) -> None:
    seen: list[int] = []

    def hold(run: Run) -> None:
        def started(_: Run) -> None:
            assert run.pool is not None
            run.pool.throttle.hold(True)
            seen.append(run.pending)

        run.parts.watch.started = started  # type: ignore[method-assign]

    async def main() -> Trial:
        async with FaultServer(lambda _: ok_chat("never asked for")) as server:
            job = write_job(tmp_path / "job.jsonl", [{"custom_id": "a", "prompt": "x"}, {"custom_id": "b", "prompt": "y"}])
            return await conduct(server, job, tmp_path / "out", [], hold, until="04:00")

    trial = jumping.run(main())
    assert seen == [2]
    assert (trial.exit_code, trial.requests) == (75, [])
    assert trial.summary["ended"]["reason"] == "the deadline 04:00 was reached"


def test_a_run_that_was_resumed_asks_for_everything(tmp_path: Path) -> None:
    def hold(run: Run) -> None:
        def started(_: Run) -> None:
            assert run.pool is not None
            run.pool.throttle.hold(True)
            asyncio.get_running_loop().call_later(3600.0, run.pool.throttle.hold, False)

        run.parts.watch.started = started  # type: ignore[method-assign]

    async def main() -> tuple[Trial, float]:
        began = asyncio.get_running_loop().time()
        async with FaultServer(lambda _: ok_chat("an answer")) as server:
            job = write_job(tmp_path / "job.jsonl", [{"custom_id": str(number), "prompt": "x"} for number in range(30)])
            trial = await conduct(server, job, tmp_path / "out", [], hold, concurrency=3)
            return trial, asyncio.get_running_loop().time() - began

    trial, seconds = jumping.run(main())
    assert (trial.exit_code, len(trial.results)) == (0, 30)
    assert seconds >= 3600


class _Peer:
    """A socket whose other side is run by this user."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def getsockopt(self, *_: int) -> bytes:
        return struct.pack("3i", 1, self._uid, 0)


@pytest.mark.parametrize(("uid", "ours"), [(os.geteuid(), True), (0, True), (os.geteuid() + 4711, False)])
def test_only_the_owner_and_root_are_heard(uid: int, ours: bool) -> None:
    assert is_ours(_Peer(uid)) is ours  # type: ignore[arg-type]


def test_a_private_place_that_others_can_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "batchllm").mkdir(mode=0o755)
    folder = tmp_path / ("a" * 120)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server, pytest.raises(PermissionError):
        bind(server, folder)
    (tmp_path / "batchllm").chmod(0o700)
    with socket.socket(socket.AF_UNIX) as server:
        assert bind(server, folder).parent == tmp_path / "batchllm"
