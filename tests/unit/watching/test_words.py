"""How the end of a run is told to a chat, a command, a health check."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchllm.configuration import load
from batchllm.strictjson import dumps
from batchllm.watching import words
from batchllm.watching.notices import ping_url
from tests.unit.watching.looked_at import summary


def test_the_text_says_which_job_how_it_ended_and_what_it_came_to() -> None:
    assert words.text(summary(), 1).splitlines() == [
        "batchllm extract.jsonl: finished; some lines failed for good (exit 1)",
        "1,200 lines: 1,190 answered, 10 failed, 0 pending · 1,000 tokens · $0.5312 in all · 62 s",
    ]


def test_a_run_that_may_go_on_later_says_when() -> None:
    ended = {**summary()["ended"], "reason": "asks to come back", "resume_after": "2026-01-02T00:00:00+00:00"}
    assert words.text(summary(ended=ended), 75).endswith("not before 2026-01-02T00:00:00+00:00: the same command goes on")


def test_a_refused_run_has_a_text_without_figures() -> None:
    found = words.refused("job.jsonl", "out", "batchllm run job.jsonl", 65, "it is empty", "2026-01-01T00:00:00+00:00")
    assert words.text(found, 65) == "batchllm job.jsonl: it is empty (exit 65)"


def test_a_servers_message_cannot_call_a_channel() -> None:
    ended = {**summary()["ended"], "reason": "the server says <!channel> & more"}
    assert "&lt;!channel&gt; &amp; more" in words.slack(summary(ended=ended), 1)["text"]


def test_what_leaves_the_machine_quotes_no_prompt_no_answer_and_no_command() -> None:
    told = dumps(words.slack(summary(), 1))
    assert b"secret prompt" not in told
    assert b"batchllm run" not in told
    assert words.slack(summary(), 1)["batchllm"]["failures"] == {"refusal": 10}


def test_a_command_gets_the_facts_and_no_key_under_any_name() -> None:
    outer = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "sk-canary-1234",
        "COPY_OF_IT": "sk-canary-1234",
        "BATCHLLM_WEBHOOK": "https://h",
    }
    made = words.environment(summary(), 1, outer, frozenset({"OPENAI_API_KEY", "BATCHLLM_WEBHOOK"}))
    assert made["PATH"] == "/bin"
    assert "sk-canary-1234" not in made.values()
    assert "BATCHLLM_WEBHOOK" not in made
    facts = {name.removeprefix("BATCHLLM_RUN_"): value for name, value in made.items() if name.startswith("BATCHLLM_RUN_")}
    assert facts["EXIT_CODE"] == "1"
    assert (facts["TOTAL"], facts["COMPLETED"], facts["FAILED"], facts["PENDING"]) == ("1200", "1190", "10", "0")
    assert facts["OUTPUT"] == "outputs/extract"


def test_the_facts_are_no_settings_for_a_batchllm_that_runs_as_the_command(tmp_path: Path) -> None:
    made = words.environment(summary(), 1, {"BATCHLLM_MODEL": "mine"}, frozenset())
    assert load(working_dir=tmp_path, environ=made).settings.model == "mine"


@pytest.mark.parametrize(
    ("url", "what", "made"),
    [
        ("https://hc.example/uuid", "start", "https://hc.example/uuid/start"),
        ("https://hc.example/uuid/", "75", "https://hc.example/uuid/75"),
        ("https://hc.example/uuid?rid=1", "1", "https://hc.example/uuid/1?rid=1"),
        ("https://hc.example/uuid", "", "https://hc.example/uuid"),
    ],
)
def test_a_ping_is_one_more_step_of_the_path(url: str, what: str, made: str) -> None:
    assert ping_url(url, what) == made
