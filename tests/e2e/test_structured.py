"""Every way to ask for an object of a schema, from the setting to the checked answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchllm.providers import names, provider
from batchllm.simulator import Faults
from tests.e2e.simulated import Line, Outcome, perform, schema_file

MODES = ("json_schema", "json_object", "tool", "prompt")
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}

modes = pytest.mark.parametrize("mode", MODES)
paths = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
either = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def lines(path: str, count: int = 6, text: str = "Label") -> list[Line]:
    return [{"custom_id": f"doc-{number}", "url": path, "prompt": f"{text} {number}"} for number in range(count)]


def valid(outcome: Outcome, count: int) -> None:
    assert (outcome.exit_code, outcome.counts) == (0, (count, 0, 0)), outcome.summary["failures"]
    for record in outcome.results:
        parsed = record["batchllm"]["parsed"]
        assert parsed["label"] in ("yes", "no")
        assert 0 <= parsed["score"] <= 9


@either
@paths
@modes
def test_each_mode_gives_valid_objects(mode: str, path: str, stream: bool, tmp_path: Path) -> None:
    outcome = perform(tmp_path, lines(path), schema=schema_file(tmp_path), structured=mode, stream=stream)
    valid(outcome, 6)
    assert outcome.summary["structured"] == mode
    assert outcome.stats["requests"] == 6


@paths
def test_json_mode_tells_the_schema_also_where_the_prompt_already_says_json(path: str, tmp_path: Path) -> None:
    job = lines(path, text="As JSON, label")
    valid(perform(tmp_path, job, schema=schema_file(tmp_path), structured="json_object"), 6)


@pytest.mark.parametrize("name", [name for name in names() if name not in ("simulator", "azure")])
def test_auto_is_the_providers_own_mode_and_the_summary_tells_it(name: str, tmp_path: Path) -> None:
    outcome = perform(tmp_path, lines(PATHS["chat"], 2), schema=schema_file(tmp_path), provider=name, options={"api_key": None})
    valid(outcome, 2)
    assert outcome.summary["structured"] == provider(name).structured
    manifest = json.loads((outcome.folder / "job.json").read_text())
    assert manifest["shaping"]["structured"] == provider(name).structured


def test_without_a_schema_no_mode_is_told(tmp_path: Path) -> None:
    outcome = perform(tmp_path, lines(PATHS["chat"], 2), structured="tool")
    assert outcome.exit_code == 0
    assert outcome.summary["structured"] is None


@either
@paths
@modes
def test_an_invalid_answer_is_asked_for_again_in_each_mode(mode: str, path: str, stream: bool, tmp_path: Path) -> None:
    """Half of all answers miss the schema; each line may be asked again, and both answers are in its bill."""
    options = {"faults": Faults(invalid_json=0.5)}
    outcome = perform(
        tmp_path, lines(path, 20), schema=schema_file(tmp_path), structured=mode, reask=8, options=options, stream=stream
    )
    valid(outcome, 20)
    again = [record["batchllm"] for record in outcome.results if record["batchllm"]["attempts"] > 1]
    assert 2 <= len(again) < 20
    assert all(facts["rejected_usage"]["completion_tokens"] > 0 for facts in again)
    assert {note["code"] for note in outcome.notes} == {"schema_invalid"}
    assert all(note["body"] for note in outcome.notes), "an answer that was paid for is kept"
    billed = sum(entry["completion_tokens"] for entry in outcome.ledger)
    assert outcome.summary["usage"]["completion_tokens"] == billed


@paths
@modes
def test_an_answer_that_stays_invalid_is_kept_with_what_is_wrong(mode: str, path: str, tmp_path: Path) -> None:
    options = {"faults": Faults(invalid_json=1.0)}
    outcome = perform(tmp_path, lines(path, 3), schema=schema_file(tmp_path), structured=mode, reask=1, options=options)
    assert (outcome.exit_code, outcome.counts) == (1, (0, 3, 0))
    assert outcome.stats["served"] == 6
    for record in outcome.errors:
        assert record["error"]["code"] == "schema_invalid"
        assert record["response"]["body"]
        assert record["batchllm"]["problems"]


@paths
@modes
def test_a_cut_answer_is_truncated_and_not_asked_again(mode: str, path: str, tmp_path: Path) -> None:
    limit = "max_output_tokens" if path.endswith("responses") else "max_tokens"
    job = [{**line, limit: 2} for line in lines(path, 3)]
    outcome = perform(tmp_path, job, schema=schema_file(tmp_path), structured=mode)
    assert (outcome.exit_code, outcome.counts) == (1, (0, 3, 0))
    assert {record["error"]["code"] for record in outcome.errors} == {"truncated"}
    assert outcome.stats["served"] == 3


OWN: dict[str, Any] = {
    "type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"], "additionalProperties": False,
}  # fmt: skip
OWN_FORMATS: dict[str, Line] = {
    "chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "own", "schema": OWN}}},
    "responses": {"text": {"format": {"type": "json_schema", "name": "own", "schema": OWN}}},
}


@modes
@pytest.mark.parametrize("name", OWN_FORMATS)
def test_a_lines_own_format_is_what_its_answer_is_checked_against(name: str, mode: str, tmp_path: Path) -> None:
    job = [{**line, **OWN_FORMATS[name]} for line in lines(PATHS[name], 2)]
    outcome = perform(tmp_path, job, schema=schema_file(tmp_path), structured=mode)
    assert (outcome.exit_code, outcome.counts) == (0, (2, 0, 0)), outcome.summary["failures"]
    assert all(set(record["batchllm"]["parsed"]) == {"age"} for record in outcome.results)


def test_a_lines_own_schema_that_no_answer_can_be_checked_against_is_a_bad_line(tmp_path: Path) -> None:
    wrong = {"response_format": {"type": "json_schema", "json_schema": {"name": "own", "schema": {"type": "objekt"}}}}
    outcome = perform(tmp_path, [{"custom_id": "a", "prompt": "x", **wrong}, {"custom_id": "b", "prompt": "y"}])
    assert (outcome.exit_code, outcome.counts) == (1, (1, 1, 0))
    assert outcome.errors[0]["error"]["code"] == "invalid_line"
    assert outcome.stats["requests"] == 1
