"""Waiting for a slot, and for a token of the retry budget: who goes, when, and who never holds a slot."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from batchllm.engines.deferral import Deferral
from batchllm.engines.gate import Gate, GateClosed
from batchllm.testing.virtual_clock import run_virtual
from batchllm.throttle import Throttle
from batchllm.throttle.budget import FULL, RetryBudget
from batchllm.throttle.fleet import Fleet, Member


def virtual(main: Coroutine[Any, Any, None]) -> None:
    run_virtual(main)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_repeats_go_before_new_lines_and_each_in_its_order() -> None:
    async def main() -> None:
        gate, order = Gate(Throttle(1, 0.0)), []
        await gate.enter()

        async def enter(name: str, *, again: bool) -> None:
            await gate.enter(again=again)
            order.append(name)

        waiting = [
            asyncio.create_task(enter(name, again=name.startswith("again")))
            for name in ("new 1", "again 1", "new 2", "again 2")
        ]
        await settled()
        for _ in range(5):
            gate.throttle.succeeded(1000.0, 1000.0)
            gate.wake()
            await settled()
        assert order == ["again 1", "again 2", "new 1", "new 2"]
        await asyncio.gather(*waiting)

    virtual(main())


def test_a_wait_ends_by_itself_when_its_time_has_come() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        gate = Gate(Throttle(64, loop.time(), rpm=60))
        times = []
        for _ in range(4):
            await gate.enter()
            times.append(loop.time() - 1000.0)
        assert times == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=1e-6)

    virtual(main())


def test_who_gives_up_waiting_leaves_no_slot_taken() -> None:
    async def main() -> None:
        gate = Gate(Throttle(1, 0.0))
        await gate.enter()
        impatient = asyncio.create_task(gate.enter())
        granted = asyncio.create_task(gate.enter())
        await settled()
        impatient.cancel()
        await settled()
        gate.throttle.succeeded(1000.0, 1000.0)
        gate.wake()
        granted.cancel()  # let in and cancelled before it knew
        await settled()
        assert gate.throttle.limiter.in_flight == 0

    virtual(main())


def test_a_closed_gate_turns_everybody_away() -> None:
    async def main() -> None:
        gate = Gate(Throttle(1, 0.0))
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        await settled()
        gate.close()
        with pytest.raises(GateClosed):
            await waiting
        with pytest.raises(GateClosed):
            await gate.enter()
        assert not gate.waiting

    virtual(main())


def test_lines_that_never_failed_go_first_while_something_fails() -> None:
    async def main() -> None:
        gate, order = Gate(Throttle(1, 0.0)), []
        await gate.enter()
        gate.throttle.breaker.failed(1, 1000.0, 1000.0, reached=True)

        async def enter(name: str, *, again: bool) -> None:
            await gate.enter(again=again)
            order.append(name)

        waiting = [asyncio.create_task(enter("again", again=True)), asyncio.create_task(enter("new", again=False))]
        await settled()
        gate.throttle.limiter.left()
        gate.wake()
        await settled()
        assert order == ["new"]
        gate.throttle.limiter.left()
        gate.wake()
        await asyncio.gather(*waiting)

    virtual(main())


def test_a_repeat_that_may_not_go_where_there_is_room_holds_up_nobody_else() -> None:
    async def main() -> None:
        fleet = Fleet(Throttle(64, 1000.0), [1, 1], 1000.0)
        gate, order = Gate(fleet.whole, fleet), []
        busy = [await gate.enter(), await gate.enter()]

        async def enter(name: str, **shunned: float) -> None:
            told = await gate.enter(again=name.startswith("again"), shunned={int(one[1:]): end for one, end in shunned.items()})
            assert isinstance(told, Member)
            order.append((name, told.number))

        waiting = [
            asyncio.create_task(enter("again 1", m0=1100.0)),
            asyncio.create_task(enter("again 2", m0=1100.0)),
            asyncio.create_task(enter("again 3", m1=1100.0)),
            asyncio.create_task(enter("new 4")),
        ]
        await settled()
        for member in (busy[0], busy[0], busy[1]):
            member.succeeded(1000.0, 1000.0)
            gate.leave()
            await settled()
        assert order == [("again 3", 0), ("new 4", 0), ("again 1", 1)]
        assert asyncio.get_running_loop().time() == 1000.0
        busy[0].succeeded(1000.0, 1000.0)
        gate.leave()
        await waiting[1]  # the one member that it may go to stays full, the other is open to it again at 1100
        assert asyncio.get_running_loop().time() == pytest.approx(1100.0)

    virtual(main())


def test_a_line_that_may_go_nowhere_yet_is_let_in_when_its_time_has_come() -> None:
    async def main() -> None:
        fleet = Fleet(Throttle(64, 1000.0), [None, None], 1000.0)
        gate = Gate(fleet.whole, fleet)
        told = await gate.enter(again=True, shunned={0: 1030.0, 1: 1040.0})
        assert isinstance(told, Member)
        assert (told.number, asyncio.get_running_loop().time()) == (0, pytest.approx(1030.0))
        assert fleet.whole.limiter.in_flight == told.throttle.limiter.in_flight == 1

    virtual(main())


def test_who_gives_up_waiting_leaves_no_slot_taken_at_any_endpoint() -> None:
    async def main() -> None:
        fleet = Fleet(Throttle(64, 1000.0), [1], 1000.0)
        gate = Gate(fleet.whole, fleet)
        first = await gate.enter()
        granted = asyncio.create_task(gate.enter())
        await settled()
        first.succeeded(1000.0, 1000.0)
        gate.leave()
        granted.cancel()  # let in and cancelled before it knew
        await settled()
        assert (fleet.whole.limiter.in_flight, fleet.members[0].throttle.limiter.in_flight, gate.flying) == (0, 0, 0)

    virtual(main())


def spent_budget() -> RetryBudget:
    budget = RetryBudget()
    budget.take(FULL)
    return budget


def test_a_retry_with_a_token_does_not_wait() -> None:
    async def main() -> None:
        assert await Deferral(RetryBudget()).take(1.0, idle=False) is False

    virtual(main())


def test_a_retry_without_a_token_waits_for_successes() -> None:
    async def main() -> None:
        budget = spent_budget()
        deferral = Deferral(budget)
        retry = asyncio.create_task(deferral.take(1.0, idle=False))
        await settled()
        for successes in range(10):
            assert not retry.done(), successes
            budget.succeeded()
            deferral.release(idle=False)
            await settled()
        assert await retry is False

    virtual(main())


def test_where_nothing_is_in_flight_one_at_a_time_goes_without_a_token() -> None:
    async def main() -> None:
        deferral = Deferral(spent_budget())
        retries = [asyncio.create_task(deferral.take(1.0, idle=True)) for _ in range(3)]
        await settled()
        assert [retry.done() for retry in retries] == [True, False, False]
        deferral.release(idle=True)
        await settled()
        assert [retry.done() for retry in retries] == [True, False, False]
        deferral.ended(idle=True)
        await settled()
        assert [retry.done() for retry in retries] == [True, True, False]
        deferral.ended(idle=True)
        assert await asyncio.gather(*retries) == [True, True, True]

    virtual(main())
