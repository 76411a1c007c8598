"""Lines go out in the order that warms a cache, none is held back for long, none is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from batchllm.engines.warming import PATIENCE_S, WINDOW, WarmingFeeder
from batchllm.prefixes import Entry
from batchllm.testing import run_virtual
from batchllm.types import Request
from tests.unit.test_prefixes import chat, long


def _batches(lines: list[Request], size: int = 128) -> list[list[Entry]]:
    return [list(lines[at : at + size]) for at in range(0, len(lines), size)]


def _line(entry: Entry | None) -> int:
    assert isinstance(entry, Request)
    return entry.line


def _with(lines: list[Request], use: Callable[[WarmingFeeder], Awaitable[None]]) -> None:
    async def main() -> None:
        await use(WarmingFeeder(iter(_batches(lines))))

    run_virtual(main())


def test_the_others_go_when_the_first_is_answered_and_not_before() -> None:
    async def use(feeder: WarmingFeeder) -> None:
        assert _line(await feeder.next()) == 1
        second = asyncio.ensure_future(feeder.next())
        await asyncio.sleep(PATIENCE_S / 2)
        assert not second.done()
        feeder.answered(1)
        assert _line(await second) == 2
        assert [_line(await feeder.next()) for _ in range(2)] == [3, 4]
        assert await feeder.next() is None

    _with([chat(n, long("system"), str(n)) for n in range(1, 5)], use)


def test_where_the_first_takes_too_long_the_others_go_all_the_same() -> None:
    async def use(feeder: WarmingFeeder) -> None:
        loop = asyncio.get_running_loop()
        await feeder.next()
        handed_out = loop.time()
        assert _line(await feeder.next()) == 2
        assert PATIENCE_S <= loop.time() - handed_out < PATIENCE_S + 0.1

    _with([chat(n, long("system"), str(n)) for n in range(1, 5)], use)


def test_who_shares_nothing_does_not_wait() -> None:
    async def use(feeder: WarmingFeeder) -> None:
        handed_out = [_line(await asyncio.wait_for(feeder.next(), 0.1)) for _ in range(6)]
        assert sorted(handed_out) == [1, 3, 4, 6, 8, 10]

    lines = [chat(n, long(f"system {n // 2}"), str(n)) for n in range(2, 10)]
    _with([chat(1, "alone"), *lines[1:], chat(10, "alone too")], use)


def test_what_is_let_go_goes_before_anything_else() -> None:
    async def use(feeder: WarmingFeeder) -> None:
        groups = []
        while (entry := await feeder.next()) is not None:
            groups.append(_line(entry) // 10)
            feeder.answered(_line(entry))
        assert groups == [group for group in range(1, 9) for _ in range(4)]

    _with([chat(10 * group + n, long(f"system {group}"), str(n)) for n in range(4) for group in range(1, 9)], use)


def test_a_beginning_that_is_warm_already_is_not_waited_for_in_the_next_window() -> None:
    async def use(feeder: WarmingFeeder) -> None:
        feeder.answered(_line(await feeder.next()))
        for _ in range(2 * WINDOW):
            await asyncio.wait_for(feeder.next(), 0.1)

    _with([chat(n, long("system"), str(n)) for n in range(2 * WINDOW + 1)], use)


def test_no_more_beginnings_are_opened_than_keep_the_workers_busy() -> None:
    async def use(feeder: WarmingFeeder) -> None:
        workers = [asyncio.ensure_future(feeder.next()) for _ in range(20)]
        await asyncio.sleep(PATIENCE_S / 2)
        opened = [_line(worker.result()) for worker in workers if worker.done()]
        assert len(opened) == 5, "each promises four lines; these and theirs keep twenty busy"
        for line in opened:
            feeder.answered(line)
        assert len({_line(await worker) for worker in workers}) == 20

    _with([chat(10 * group + n, long(f"system {group}"), str(n)) for group in range(1, 41) for n in range(5)], use)


def test_while_one_window_waits_no_third_is_read() -> None:
    read = 0

    def batches():
        nonlocal read
        for batch in _batches([chat(n, long(f"system {n // WINDOW}"), str(n)) for n in range(5 * WINDOW)], 100):
            read += len(batch)
            yield batch

    async def main() -> None:
        feeder = WarmingFeeder(batches())
        assert _line(await feeder.next()) == 0
        waiting = asyncio.ensure_future(feeder.next())
        await asyncio.sleep(PATIENCE_S / 2)
        assert not waiting.done()
        assert read == 2 * WINDOW
        waiting.cancel()

    run_virtual(main())


@pytest.mark.parametrize("seed", range(12))
def test_every_line_comes_out_once_with_many_workers_however_long_the_answers_take(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.randrange(1, 1500)
    lines = [chat(n, long(f"system {draw.randrange(3)}"), long(f"text {draw.randrange(9)}", 1), str(n)) for n in range(count)]
    seen: list[int] = []

    async def worker(feeder: WarmingFeeder) -> None:
        while (entry := await feeder.next()) is not None:
            seen.append(_line(entry))
            await asyncio.sleep(draw.choice((0, 0.01, 1, 3 * PATIENCE_S)))
            feeder.answered(_line(entry))

    async def main() -> None:
        feeder = WarmingFeeder(iter(_batches(lines)))
        async with asyncio.timeout(3600 * 24):
            await asyncio.gather(*(worker(feeder) for _ in range(draw.randrange(1, 80))))

    run_virtual(main())
    assert sorted(seen) == list(range(count))
