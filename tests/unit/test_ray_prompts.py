"""`batchllm.ray.Prompts` without Ray: a batch of columns in, the same with answers out; no row fails the batch."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.ray import COLUMNS, Prompts

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["a", "b"]}},
    "required": ["label"],
    "additionalProperties": False,
}


def settings(base_url: str, **more: Any) -> dict[str, Any]:
    return {"base_url": base_url, "model": "simulated-1", **more}


def test_each_row_has_its_answer_in_its_place(simulator: str) -> None:
    texts = [f"text {at}" for at in range(20)]
    out = Prompts("Repeat: {text}", settings(simulator))({"text": texts, "id": list(range(20))})
    assert out["text"] == texts
    assert set(out) == {"text", "id", *COLUMNS}
    assert all(out["answer"])
    assert out["error_code"] == [None] * 20
    assert all(tokens > 0 for tokens in out["prompt_tokens"])
    assert out["attempts"] == [1] * 20


def test_a_bad_row_says_why_and_the_others_are_answered(simulator: str) -> None:
    def line(row: Any) -> Any:
        if row["at"] == 1:
            raise ZeroDivisionError("no such thing")
        if row["at"] == 2:
            return {"prompt": "hello", "api_key": "sk-somebody-else"}
        if row["at"] == 3:
            return {"prompt": object()}
        return f"Tell about {row['at']}"

    out = Prompts(line, settings(simulator))({"at": [0, 1, 2, 3, 4]})
    assert out["error_code"] == [None, "invalid_line", "invalid_line", "invalid_line", None]
    assert "no such thing" in out["error"][1]
    assert "api_key" in out["error"][2]
    assert [bool(answer) for answer in out["answer"]] == [True, False, False, False, True]


def test_answers_are_held_to_the_schema(simulator: str, tmp_path: Path) -> None:
    path = tmp_path / "label.json"
    path.write_text(json.dumps(SCHEMA))
    out = Prompts("Label: {text}", settings(simulator, schema=str(path)), prefix="llm_")({"text": ["x", "y"]})
    assert {json.loads(one)["label"] for one in out["llm_parsed"]} <= {"a", "b"}


def test_rows_behind_an_account_that_refuses_are_told_so() -> None:
    from batchllm.simulator import SimulatorOptions, run_in_thread

    with run_in_thread(SimulatorOptions(seed=1, api_key="sk-right")) as hosted:
        out = Prompts("{text}", settings(hosted.base_url))({"text": [str(at) for at in range(50)]})
    assert set(out["error_code"]) == {"stopped"}
    assert all("refuses" in why for why in out["error"])


def test_an_empty_batch_asks_nothing() -> None:
    assert Prompts("{text}", {"base_url": "http://127.0.0.1:1"})({"text": []})["answer"] == []


@pytest.mark.parametrize("template", ["{text.__class__}", "{0}", "{text[0]}", "{", "{}"])
def test_a_template_reaches_columns_and_nothing_else(template: str) -> None:
    with pytest.raises(ValueError, match="prompt"):
        Prompts(template)


def test_settings_that_cannot_work_are_raised_and_the_error_travels() -> None:
    with pytest.raises(JobError) as refused:
        Prompts("{text}", {"provider": "nobody"})({"text": ["x"]})
    copy = pickle.loads(pickle.dumps(refused.value))
    assert (copy.exit_code, str(copy)) == (ExitCode.USAGE, str(refused.value))
