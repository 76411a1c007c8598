"""The page that sets batchllm beside other tools says what was measured, and names who could not be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks.peers.page import _lines, cpu_us, rate, share
from benchmarks.peers.scenes import SCENES, lines_for
from benchmarks.peers.servers import PIECE, completion, configuration, stream
from benchmarks.peers.table import OURS, PEERS

BY_NAME = {scene.name: scene for scene in SCENES}


def measured(scene: str, peer: str, cpu_s: float, wall_s: float, lines: int = 1000, peak: int = 2**26) -> dict[str, Any]:
    return {"scene": scene, "peer": peer, "round": 1, "lines": lines, "cpu_s": cpu_s + 0.5, "wall_s": wall_s + 1.0, "peak": peak,
            "start_cpu_s": 0.5, "start_wall_s": 1.0}  # fmt: skip


FIGURES = {
    "machine": "a machine", "rounds": 3, "quick": False, "versions": {OURS: "1.0", "litellm": "2.0"},
    "missing": {"curator": "no version fits"},
    "failures": [{"scene": "tls", "peer": "litellm", "why": "answered 9 of 10 lines"}],
    "runs": [
        *(measured("plain", OURS, cpu, 1.0) for cpu in (0.2, 0.3, 0.4)), measured("plain", "litellm", 2.0, 5.0),
        measured("wait 1000", OURS, 1.0, 4.8, lines=20_000), measured("memory 5k", OURS, 1.0, 1.0),
    ],
}  # fmt: skip


def test_the_start_is_taken_off_what_is_told_for_each_request() -> None:
    run = measured("plain", OURS, 0.25, 0.5)
    assert (cpu_us(run), rate(run)) == (pytest.approx(250), pytest.approx(2000))


def test_the_share_of_the_ideal_is_one_hundred_where_every_slot_always_waits() -> None:
    # 20,000 lines, 1,000 in flight, 0.2 s each: 4 s; one latency stands in the start too, which is taken off.
    assert share(BY_NAME["wait 1000"])(measured("wait 1000", OURS, 1.0, 3.8, lines=20_000)) == pytest.approx(100)


def test_every_figure_comes_with_its_spread_and_the_factor_to_ours() -> None:
    text = "\n".join(_lines(FIGURES, {}))
    assert "| batchllm | 300 (200 to 400) | 1.00 | 1,000 (1,000 to 1,000) |" in text
    assert "| litellm | 2,000 (2,000 to 2,000) | 6.67 | 200 (200 to 200) |" in text
    assert re.search(r"\| batchllm \| 80 \(80 to 80\) \|", text)
    assert "| peer | 1,000 lines |" in text
    assert "| batchllm | 64 (64 to 64) |" in text


def test_who_could_not_be_set_up_or_failed_is_named_with_the_reason() -> None:
    text = "\n".join(_lines(FIGURES, {}))
    assert "* curator: no version fits" in text
    assert "* litellm, tls: answered 9 of 10 lines" in text


def test_a_quick_page_says_that_nobody_is_to_be_held_to_it() -> None:
    assert "quick mode" in "\n".join(_lines({**FIGURES, "quick": True}, {}))


def test_slow_peers_get_fewer_lines_but_not_where_memory_counts_and_two_for_each_slot_where_time_does() -> None:
    assert lines_for(BY_NAME["plain"], 0.1, quick=False) == 1000
    assert lines_for(BY_NAME["memory 80k"], 0.1, quick=False) == 80_000
    assert lines_for(BY_NAME["wait 4000"], 1.0, quick=False) == 40_000
    assert lines_for(BY_NAME["wait 4000"], 0.01, quick=False) == 8_000


def test_no_word_of_the_neutral_servers_configuration_is_longer_than_it_takes(tmp_path) -> None:
    words = re.findall(r"'(?:[^'\\]|\\.)*'", configuration(tmp_path, 1, 2))
    assert max(map(len, words)) < PIECE + 96
    assert "$" not in completion() + stream(), "it would be a variable of nginx"


def test_peers_have_names_of_their_own_and_scripts_that_exist() -> None:
    from benchmarks.peers.table import SCRIPTS

    assert len({peer.name for peer in PEERS}) == len(PEERS)
    assert all((SCRIPTS / peer.script).is_file() for peer in PEERS if peer.requires)


def test_a_job_that_the_start_hides_has_no_figure() -> None:
    run = measured("plain", OURS, 0.1, 0.2)
    assert (cpu_us(run), rate(run)) == (None, None)
    hidden = {**FIGURES, "runs": [measured("plain", OURS, 0.4, 1.0), measured("plain", OURS, 0.1, 0.2)]}
    assert "| batchllm | - | - | - |" in "\n".join(_lines(hidden, {}))
