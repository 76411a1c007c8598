"""Charts and figures: numbers said in a form people read, coordinates that stay on the page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.reports.html import charts, figures
from batchllm.reports.html.distribution import distribution
from batchllm.reports.html.timeline import timeline
from batchllm.series import POINTS, Point, Series, is_series, joined
from batchllm.tally import Histogram
from batchllm.types import Json


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (figures.count(None), "–"), (figures.count(0), "0"), (figures.count(99_999), "99,999"), (figures.count(1_234_567), "1.23 M"),
        (figures.count(4.2e9), "4.2 G"), (figures.money(None), "–"), (figures.money(0), "$0"), (figures.money(1234.5), "$1,234.50"),
        (figures.money(0.01234), "$0.0123"), (figures.money(0.0000012), "$1.2e-06"), (figures.duration(0.0351), "35.1 ms"),
        (figures.duration(1.834), "1.83 s"), (figures.duration(59.7), "1 min 00 s"), (figures.duration(434), "7 min 14 s"),
        (figures.duration(11_100), "3 h 05 min"), (figures.duration(190_000), "2 d 4 h"), (figures.duration(None), "–"),
        (figures.rate(231.4), "231/s"), (figures.rate(0.05), "3/min"), (figures.rate(0.001), "3.6/h"), (figures.share(0, 10), "0 %"),
        (figures.share(99_999, 100_000), "> 99.9 %"), (figures.share(1, 100_000), "< 0.1 %"), (figures.share(1, 0), "–"),
        (figures.moment("2026-01-02T03:04:05+00:00"), "2026-01-02 03:04 UTC"), (figures.moment("soon"), "soon"),
    ],
)  # fmt: skip
def test_figures_are_short_and_true(said: str, text: str) -> None:
    assert said == text


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_the_top_of_an_axis_is_a_round_number_just_above(value: float) -> None:
    top = charts.nice(value)
    assert value * (1 - 1e-6) <= top <= 2.5 * value


def run(done: list[int], at: str = "2026-01-01T00:00:00+00:00") -> Json:
    zeros = [0] * len(done)
    return {"at": at, "t": [float(t) for t in range(len(done))], "done": done, "failed": zeros, "tokens": zeros, "refused": zeros,
            "in_flight": zeros, "limit": [4] * len(done)}  # fmt: skip


def coordinates(picture: str) -> list[float]:
    paths = " ".join(re.findall(r' d="([^"]*)"', picture))
    return [float(one) for one in re.findall(r"-?[0-9.]+", paths)]


@given(st.lists(st.lists(st.integers(0, 1000), min_size=2, max_size=40).map(sorted), min_size=1, max_size=4))
def test_nothing_is_drawn_outside_the_frame(runs: list[list[int]]) -> None:
    made = timeline([run(done) for done in runs])
    if made is not None:
        assert all(-0.1 <= one <= charts.WIDTH + 0.1 for one in coordinates(made))


def test_the_pauses_between_runs_are_left_out() -> None:
    made = timeline([run([0, 10, 20]), run([0, 5, 10], "2026-01-02T00:00:00+00:00")])
    assert made is not None
    assert "7.5/s on average" in made
    assert "<span>4 s</span>" in made


def test_a_run_that_is_over_at_once_has_no_picture() -> None:
    assert timeline([]) is None
    assert timeline([run([0, 3])]) is None


@pytest.mark.parametrize("times", [[0.5], [0.001] * 9 + [900.0], [1.0, 1.01, 1.02]])
def test_a_distribution_counts_every_request(times: list[float]) -> None:
    histogram = Histogram()
    for one in times:
        histogram.add(one)
    made = distribution(histogram, "Latency")
    assert made is not None
    told = [int(one.replace(",", "")) for one in re.findall(r": ([0-9,]+)</title>", made)]
    assert sum(told) == len(times)


def test_a_series_keeps_few_points_of_a_run_of_any_length() -> None:
    series = Series()
    for second in range(100_000):
        if series.due(second):
            series.add(Point(second, second, 0, 0, 0, 1, 1))
    kept = series.as_json("2026-01-01T00:00:00+00:00")
    assert kept is not None
    assert is_series(kept)
    assert POINTS / 2 <= len(kept["t"]) <= POINTS + 1
    assert kept["t"] == sorted(kept["t"])
    assert kept["t"][0] == 0
    assert kept["t"][-1] > 99_000


def test_the_last_point_of_a_run_is_never_thinned_away() -> None:
    long = [run(list(range(POINTS))) for _ in range(3)]
    kept = joined(long[:2], long[2])
    assert sum(len(one["t"]) for one in kept) <= POINTS
    assert [one["done"][-1] for one in kept] == [POINTS - 1] * 3
    assert [one["done"][0] for one in kept] == [0] * 3


def test_a_run_in_which_nothing_happened_leaves_no_series() -> None:
    series = Series()
    series.add(Point(0, 0, 0, 500, 0, 0, 8))
    series.add(Point(0.1, 0, 0, 500, 0, 0, 8))
    assert series.as_json("now") is None
    assert joined([run([0, 1])], None) == [run([0, 1])]


@pytest.mark.parametrize(
    "earlier", [None, 3, [3], [{"t": [1]}], [{**run([0, 1]), "done": ["<b>", 1]}], [{**run([0, 1]), "t": [0]}]]
)
def test_a_series_that_somebody_edited_is_left_out(earlier: object) -> None:
    assert joined(earlier, run([0, 2])) == [run([0, 2])]
