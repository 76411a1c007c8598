"""A loop that stands still ends the process; one that moves, or a process that was stopped, is left alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from batchllm.watchdog import Vigil, watched


@pytest.mark.parametrize(
    ("events", "overdue"),
    [("ttt", False), ("tttt", True), ("tttattt", False), ("tattatttt", True), ("", False)],
)
def test_only_ticks_without_a_sign_of_life_count(events: str, overdue: bool) -> None:
    vigil = Vigil(patience=3)
    seen = False
    for event in events:
        if event == "t":
            seen = vigil.tick()
        else:
            vigil.alive()
    assert seen is overdue


def test_a_loop_that_is_blocked_is_noticed_s9() -> None:
    noticed = threading.Event()

    async def blocked() -> None:
        with watched(asyncio.get_running_loop(), Vigil(patience=2), noticed.set, tick_s=0.001):
            assert noticed.wait(20), "nobody noticed"

    asyncio.run(blocked())


def test_a_loop_that_waits_without_being_blocked_is_left_alone() -> None:
    """Each sign of life is asked for by the thread and given by the loop, however long nothing else happens."""
    signs = 0
    enough = asyncio.Event()

    class Counted(Vigil):
        def alive(self) -> None:
            nonlocal signs
            super().alive()
            signs += 1
            if signs == 20:
                enough.set()

    async def idle() -> None:
        with watched(asyncio.get_running_loop(), Counted(patience=10_000), pytest.fail, tick_s=0.001):
            await enough.wait()

    asyncio.run(idle())
    assert signs >= 20


HANG = """
import asyncio, threading
from batchllm import watchdog
async def hang():
    with watchdog.watched(asyncio.get_running_loop(), watchdog.Vigil(patience=2), tick_s=0.01):
        threading.Event().wait(60)
asyncio.run(hang())
"""


def test_the_process_ends_with_a_sentence_and_frees_what_it_held() -> None:
    ended = subprocess.run([sys.executable, "-c", HANG], capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 70
    assert "the same command goes on" in ended.stderr
    assert "Traceback" not in ended.stderr
