"""The way up at the start: how far it doubles."""

from __future__ import annotations

import pytest

from batchllm.throttle.climb import Climb
from batchllm.throttle.evidence import LEAST, loses
from batchllm.throttle.goodput import Known, Window


@pytest.mark.parametrize(
    ("goodputs", "doublings"),
    [
        pytest.param([100, 200, 400, 800], 4, id="as long as it grows"),
        pytest.param([100, 190, 200, 380, 400, 410], 5, id="one dull round is passed over"),
        pytest.param([100, 190, 200, 205], 3, id="two are not"),
        pytest.param([100, 190, 180, 190], 3, id="nor where one was a little worse"),
        pytest.param([100, 190, 170], 2, id="a fall ends it at once"),
        pytest.param([100, 110, 121, 139], 4, id="small gains add up: each is compared with what grew last"),
        pytest.param([0.0, 0.0, 5.0], 3, id="where nothing was done yet there is nothing to compare"),
    ],
)
def test_it_doubles_until_two_rounds_running_bring_little(goodputs: list[float], doublings: int) -> None:
    climb = Climb()
    went = [climb.goes_on(goodput) for goodput in goodputs]
    assert (went.index(False) if False in went else len(went)) == doublings


def window(level: int, ended: int, each: float) -> Window:
    made = Window(level)
    made.begin(0.0, level)
    for number in range(ended):
        made.add(each * (1.05 if number % 2 else 0.95), 1.0, None, 1.0)
    made.holds(level, 1.0)
    return made


@pytest.mark.parametrize(
    ("level", "ended", "each", "lost"),
    [
        pytest.param(16, 16, 10.0, True, id="half of what is held"),
        pytest.param(16, 16, 20.0, False, id="as much"),
        pytest.param(16, 16, 19.0, False, id="a little less, which the errors may explain"),
        pytest.param(16, 7, 10.0, False, id="not half of them have ended"),
        pytest.param(2, LEAST - 1, 10.0, False, id="too few to say anything"),
    ],
)
def test_a_lower_level_loses_only_where_that_is_clear(level: int, ended: int, each: float, lost: bool) -> None:
    held = Known(20.0 * level, 0.02, 16, 0.0)
    assert loses(window(level, ended, each), level, held) is lost
