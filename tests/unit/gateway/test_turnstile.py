"""Who goes next: live requests, then tenants and their batches by what they have in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from batchllm.engines.gate import GateClosed
from batchllm.gateway.turnstile import Doorway, Turnstile
from batchllm.testing.virtual_clock import run_virtual
from batchllm.throttle import Throttle


async def settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


class Line:
    """Requests that wait at doors, and the order in which they were let in."""

    def __init__(self, cap: int = 1) -> None:
        self.house = Turnstile(Throttle(cap, asyncio.get_running_loop().time(), start=cap))
        self.order: list[str] = []
        self.doors: dict[str, Doorway] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, name: str, door: Doorway, *, again: bool = False) -> asyncio.Task[None]:
        async def enter() -> None:
            await door.enter(again=again)
            self.order.append(name)
            self.doors[name] = door

        self.tasks.append(asyncio.create_task(enter()))
        return self.tasks[-1]

    async def end(self, name: str) -> None:
        """The request that was let in under this name is answered."""
        now = asyncio.get_running_loop().time()
        self.house.throttle.succeeded(now, now)
        self.doors.pop(name).leave()
        await settled()

    async def end_all(self) -> list[str]:
        """Answer one after the other, until nobody waits."""
        await settled()
        while self.doors:
            await self.end(next(iter(self.doors)))
        return self.order


def test_live_requests_go_first_and_repeats_before_new_lines() -> None:
    async def main() -> None:
        line = Line()
        door = line.house.door("alice")
        for name, at, again in (
            ("first", door, False), ("new", door, False), ("again", door, True), ("live", line.house.live, False),
        ):  # fmt: skip
            line.ask(name, at, again=again)
            await settled()
        assert await line.end_all() == ["first", "live", "again", "new"]

    run_virtual(main())


def test_slots_are_shared_by_tenant_and_then_by_batch() -> None:
    """Alice has two batches and Bob one: half of the slots are his."""

    async def main() -> None:
        line = Line()
        doors = {"a": line.house.door("alice"), "b": line.house.door("alice"), "z": line.house.door("bob")}
        for number in range(4):
            for name, door in doors.items():
                line.ask(f"{name}{number}", door)
            await settled()
        order = "".join(name[0] for name in await line.end_all())
        assert order[2:8] == "zazbza"

    run_virtual(main())


def test_a_tenant_whose_requests_take_long_gets_no_more_than_half_the_slots() -> None:
    async def main() -> None:
        line = Line(cap=4)
        slow, quick = line.house.door("slow"), line.house.door("quick")
        for number in range(8):
            line.ask(f"slow {number}", slow)
        for number in range(8):
            line.ask(f"quick {number}", quick)
        await settled()
        assert (slow.flying, quick.flying) == (4, 0)
        for _ in range(2):
            await line.end(next(name for name in line.doors if name.startswith("slow")))
        for _ in range(4):
            await line.end(next(name for name in line.doors if name.startswith("quick")))
            assert (slow.flying, quick.flying) == (2, 2)
        for task in line.tasks:
            task.cancel()
        await settled()

    run_virtual(main())


def test_a_closed_door_turns_its_own_away_and_nobody_else() -> None:
    async def main() -> None:
        line = Line()
        doors = [line.house.door("alice"), line.house.door("alice")]
        line.ask("in flight", doors[0])
        await settled()
        turned, other = line.ask("turned away", doors[0]), line.ask("other", doors[1])
        await settled()
        doors[0].close()
        doors[0].close()
        await settled()
        with pytest.raises(GateClosed):
            turned.result()
        with pytest.raises(GateClosed):
            await doors[0].enter()
        await line.end("in flight")
        assert other.done()
        assert line.order == ["in flight", "other"]

    run_virtual(main())


def test_one_who_is_cancelled_gives_the_slot_to_the_next() -> None:
    async def main() -> None:
        line = Line()
        door = line.house.door("alice")
        line.ask("in flight", door)
        await settled()
        leaving, staying = line.ask("leaving", door), line.ask("staying", door)
        await settled()
        now = asyncio.get_running_loop().time()
        line.house.throttle.succeeded(now, now)
        line.doors.pop("in flight").leave()
        line.house.wake()  # `leaving` is let in
        leaving.cancel()  # before it could see it
        await settled()
        assert staying.done()
        assert (door.flying, line.house.throttle.limiter.in_flight) == (1, 1)

    run_virtual(main())


WIDTHS: dict[str, tuple[int, int, bool, int]] = {
    "alone, nobody waits": (1, 0, False, 12),
    "of two batches of one tenant, and others wait": (2, 0, True, 7),
    "of one batch beside another tenant's two": (1, 2, True, 7),
    "of two batches beside another tenant": (2, 1, True, 4),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_a_pool_has_as_many_workers_as_its_share_and_one_more(name: str) -> None:
    own, others, busy, width = WIDTHS[name]

    async def main() -> None:
        line = Line(cap=12)
        doors = [line.house.door("alice") for _ in range(own)]
        for _ in range(others):
            line.house.door("bob")
        if busy:
            for number in range(13):
                line.ask(str(number), doors[0])
            await settled()
        assert doors[0].width == width
        for task in line.tasks:
            task.cancel()
        await settled()

    run_virtual(main())


def test_waiting_ends_by_time_where_the_throttle_says_when() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        house = Turnstile(Throttle(64, loop.time(), rpm=60))
        doors: list[Callable[[], Coroutine[Any, Any, None]]] = [house.door("a").enter, house.door("b").enter, house.live.enter]
        began = loop.time()
        await asyncio.gather(*(enter() for enter in doors))
        assert loop.time() - began == pytest.approx(2.0, abs=0.1)
        house.close()

    run_virtual(main())
