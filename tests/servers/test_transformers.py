"""A real `transformers serve`: streams without `[DONE]`, errors under `detail`, formats taken and ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.simulated import prompts, schema_file
from tests.servers.served import address, ask, honest, talked, told, usage_of

pytestmark = pytest.mark.servers
either = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def server() -> str:
    return address("TRANSFORMERS")


@either
def test_chat(server: str, stream: bool, tmp_path: Path) -> None:
    outcome = ask(tmp_path, prompts(6, max_tokens=12), server, "transformers", stream=stream)
    for record in honest(outcome, 6):
        assert told(record) == usage_of(record["response"]["body"])
        assert record["response"]["request_id"]
    assert outcome.summary["usage_unknown"] == 0


@either
def test_completions(server: str, stream: bool, tmp_path: Path) -> None:
    lines = [{**line, "url": "/v1/completions", "max_tokens": 6} for line in prompts(4)]
    honest(ask(tmp_path, lines, server, "transformers", stream=stream), 4)


@pytest.mark.parametrize("stream", [None, False, True], ids=["unsaid", "whole", "stream"])
def test_responses(server: str, stream: bool | None, tmp_path: Path) -> None:
    """It streams unless told not to, and calls an answer it has cut `completed`."""
    lines = [{**line, "url": "/v1/responses", "max_output_tokens": 6} for line in prompts(3)]
    outcome = ask(tmp_path, lines, server, "transformers", stream=stream)
    assert (outcome.exit_code, outcome.counts) == (0, (3, 0, 0)), outcome.summary["failures"]
    for record in outcome.results:
        assert record["response"]["body"]["status"] == "completed"
        assert record["batchllm"]["usage"]["completion_tokens"] == 6


def test_a_schema_is_asked_for_in_words_and_its_breach_is_told(server: str, tmp_path: Path) -> None:
    outcome = ask(tmp_path, prompts(3, max_tokens=20), server, "transformers", schema=schema_file(tmp_path), reask=1)
    assert outcome.summary["structured"] == "prompt"
    assert {record["error"]["code"] for record in outcome.errors} <= {"truncated", "schema_invalid"}
    assert outcome.counts[2] == 0


@either
def test_conversations(server: str, stream: bool, tmp_path: Path) -> None:
    """Stopped at a vowel, so that its turns end."""
    lines = [
        {"custom_id": f"talk-{number}", "turns": [f"Is {number} odd?", "Sure?", "Why?"], "stop": list("aei "), "max_tokens": 60}
        for number in range(4)
    ]  # fmt: skip
    talked(ask(tmp_path, lines, server, "transformers", stream=stream), 4, 3)


def test_n_is_ignored(server: str, tmp_path: Path) -> None:
    (record,) = honest(ask(tmp_path, prompts(1, max_tokens=3, n=2), server, "transformers"), 1)
    assert len(record["response"]["body"]["choices"]) == 1


def test_a_stream_of_fewer_answers_than_asked_never_proves_its_end(server: str, tmp_path: Path) -> None:
    lines = prompts(1, max_tokens=3, n=2, stream=True)
    outcome = ask(tmp_path, lines, server, "transformers", retries={"max_attempts": 1})
    assert [record["error"]["code"] for record in outcome.errors] == ["bad_response"]


REFUSED: dict[str, Any] = {"model": {"model": "nope"}, "path": {"url": "/v1/embeddings"}}


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_what_is_not_there_stops_the_run_after_a_few_lines(server: str, line: dict[str, str], tmp_path: Path) -> None:
    outcome = ask(tmp_path, prompts(40, max_tokens=2, **line), server, "transformers", concurrency=2)
    assert outcome.exit_code == 77, outcome.summary["ended"]
    assert outcome.counts[2] >= 30


def test_a_field_it_does_not_know_is_one_lines_matter(server: str, tmp_path: Path) -> None:
    lines = [*prompts(2, max_tokens=3), {"custom_id": "odd", "prompt": "x", "max_tokens": 3, "frobnicate": 1}]
    outcome = ask(tmp_path, lines, server, "transformers")
    codes = {record["custom_id"]: (record["error"]["code"], record["error"]["message"]) for record in outcome.errors}
    assert codes["odd"][0] == "invalid_request"
    assert "frobnicate" in codes["odd"][1]
