"""The live view of `run --ui` on a real terminal, and what is said where it cannot be drawn."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from tests.conftest import Command
from tests.e2e.commands import Commands
from tests.e2e.test_terminal import on_a_terminal

TOML = """\
provider = "simulator"
model = "m"
concurrency = 4
[simulator]
latency = { median_s = 0.1 }
faults = { server_error = 0.1, refusal = 0.1 }
"""


@pytest.fixture
def slow(command: Command) -> Command:
    command.write("job.jsonl", *({"custom_id": f"doc-{number}", "prompt": f"Tell about {number}"} for number in range(60)))
    (command.folder / "job.toml").write_text(TOML)
    return command


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_the_view_is_drawn_while_the_run_goes_and_gives_way_to_the_closing_table(slow: Command) -> None:
    seen = on_a_terminal(slow, "run", "job.jsonl", "--ui")
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    assert "in flight" in plain
    assert "running" in plain
    assert re.search(r"refusal|server_error", plain.partition("what came to no answer")[2])
    assert plain.rindex("in flight") < plain.index("60: ")
    assert "%|" not in plain


def test_without_a_terminal_the_usual_lines_follow(slow: Command) -> None:
    ended = slow("run", "job.jsonl", "--ui", "--limit", "2")
    assert "note: --ui needs a terminal" in ended.err
    assert "answered" in ended.err


@pytest.mark.parametrize(
    ("words", "module", "extra"),
    [(["top", "."], "rich", "ui"), (["run", "job.jsonl", "--ui"], "rich", "ui"), (["run", "job.jsonl", "--otel"], "opentelemetry", "otel")],
)  # fmt: skip
def test_an_extra_that_is_missing_is_named_before_anything_is_sent(
    slow: Command, words: list[str], module: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module or name == "batchllm.watching.telemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    ended = Commands(slow.folder, None, monkeypatch, capsys)(*words)
    assert ended.code == 2
    assert f"pip install 'batchllm[{extra}]'" in ended.err
    assert not (ended.folder / "results.jsonl").exists()
