import re
import signal
import threading
import time

import pytest

from batchllm.validation import TimeUp, time_limit


def spin() -> None:
    while True:
        pass


def test_a_loop_is_ended():
    with pytest.raises(TimeUp), time_limit(0.02):
        spin()


def test_a_loop_that_swallows_exceptions_is_ended():
    def swallow() -> None:
        while True:
            try:
                time.monotonic()
            except Exception:
                continue

    with pytest.raises(TimeUp), time_limit(0.02):
        swallow()


def test_a_catastrophic_match_is_ended():
    with pytest.raises(TimeUp), time_limit(0.02):
        re.match(r"(a+)+$", "a" * 40 + "!")


def test_nothing_fires_after_the_block():
    with time_limit(0.02):
        pass
    end = time.monotonic() + 0.06
    while time.monotonic() < end:
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_nothing_fires_after_an_exception_in_the_block():
    with pytest.raises(KeyError), time_limit(0.02):
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_late_signal_does_nothing():
    limit = time_limit(10)
    with limit:
        pass
    limit._fire(signal.SIGALRM, None)


@pytest.mark.parametrize("seconds", [10, 0.02])
def test_the_previous_handler_and_timer_are_put_back(seconds):
    def handler(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        try:
            with time_limit(seconds):
                while seconds < 1:
                    pass
        except TimeUp:
            pass
        assert signal.getsignal(signal.SIGALRM) is handler
        assert 99 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_on_another_thread_the_block_has_no_bound():
    done = []

    def work() -> None:
        with time_limit(0.001):
            end = time.monotonic() + 0.02
            while time.monotonic() < end:
                pass
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


@pytest.mark.parametrize("seconds", [0.00001, 0.00005])
def test_it_never_fires_outside_the_block_however_close_the_end(seconds):
    """The signal lands anywhere in entering and leaving; a leak would end this test with `TimeUp`."""
    ended = 0
    for _ in range(3000):
        try:
            with time_limit(seconds):
                for _ in range(20):
                    pass
        except TimeUp:
            ended += 1
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert 0 <= ended <= 3000
