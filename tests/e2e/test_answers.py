"""Answers as models really give them, through the whole run: fenced, thought about, talked around, withheld, cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchllm.simulator import Faults
from tests.e2e import jumping
from tests.e2e.simulated import perform, prompts, schema_file
from tests.e2e.trial import Trial, conduct, write_job
from tests.faultserver import FaultServer, Request, Step, ok_chat
from tests.faultserver.builders import OMIT

GOOD = {"label": "yes", "score": 7}
TEXT = json.dumps(GOOD)
DRESSED = {
    "plain": TEXT,
    "fence": f"```json\n{TEXT}\n```",
    "fence without a name": f"```\n{TEXT}\n```",
    "think": f'<think>Perhaps {{"label": "no"}}?</think>\n{TEXT}',
    "prose": f"Here is the object you asked for:\n\n{TEXT}\n\nAnything else?",
    "all of it": f"<think>hm</think>Sure:\n```json\n{TEXT}\n```\nDone.",
}


def run_with(answers: dict[str, Step], tmp_path: Path, **settings: Any) -> Trial:
    """A job of one line for each answer; each line's prompt is the answer's name."""

    def answer(request: Request) -> Step:
        asked = json.loads(request.body)["messages"]
        return answers[next(one["content"] for one in asked if one["content"] in answers)]

    async def main() -> Trial:
        async with FaultServer(answer) as server:
            job = write_job(tmp_path / "job.jsonl", [{"custom_id": name, "prompt": name} for name in answers])
            return await conduct(server, job, tmp_path / "out", [], **settings)

    return jumping.run(main())


def test_a_valid_object_is_found_however_it_is_dressed(tmp_path: Path) -> None:
    steps = {name: ok_chat(text) for name, text in DRESSED.items()}
    trial = run_with(steps, tmp_path, schema=schema_file(tmp_path), structured="json_schema")
    assert trial.exit_code == 0, trial.summary["failures"]
    assert {name: record["batchllm"]["parsed"] for name, record in trial.records.items()} == dict.fromkeys(DRESSED, GOOD)
    assert len(trial.requests) == len(DRESSED), "nothing was asked again"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shown", ["think", "reasoning", "reasoning_content"])
def test_the_answer_after_the_thoughts_is_what_is_checked(shown: str, stream: bool, tmp_path: Path) -> None:
    outcome = perform(
        tmp_path,
        prompts(5),
        options={"reasoning": shown},
        schema=schema_file(tmp_path),
        structured="json_schema",
        stream=stream,
    )
    assert (outcome.exit_code, outcome.counts) == (0, (5, 0, 0)), outcome.summary["failures"]
    for record in outcome.results:
        assert record["batchllm"]["reasoning"]
        assert set(record["batchllm"]["parsed"]) == {"label", "score"}


def test_refused_withheld_and_cut_are_told_apart_and_none_is_asked_again(tmp_path: Path) -> None:
    for fault, code in (("refusal", "refusal"), ("content_filter", "content_filter"), ("length", "truncated")):
        folder = tmp_path / fault
        folder.mkdir()
        options = {"faults": Faults(**{fault: 1.0})}
        outcome = perform(folder, prompts(3), options=options, schema=schema_file(folder), structured="json_schema", reask=3)
        assert (outcome.exit_code, outcome.counts) == (1, (0, 3, 0))
        assert {record["error"]["code"] for record in outcome.errors} == {code}
        assert outcome.stats["requests"] == 3
        assert all(record["response"]["body"] for record in outcome.errors), "it was paid for: it is kept"


def test_usage_that_is_missing_null_or_nonsense_is_unknown_and_never_zero(tmp_path: Path) -> None:
    told = {
        "missing": OMIT,
        "null": None,
        "words": "many",
        "a list": [1],
        "negative": {"prompt_tokens": -1, "completion_tokens": -5},
    }
    steps = {name: ok_chat("fine", usage=value) for name, value in told.items()}
    steps["good"] = ok_chat("fine", usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
    trial = run_with(steps, tmp_path)
    assert trial.exit_code == 0
    for name in told:
        assert trial.records[name]["batchllm"]["usage"] is None or not any(trial.records[name]["batchllm"]["usage"].values()), (
            name
        )
        assert 0 not in (trial.records[name]["batchllm"]["usage"] or {}).values(), name
    assert trial.summary["usage_unknown"] == len(told)
    assert trial.summary["usage"]["total_tokens"] == 15
