"""A real vLLM with a tiny model: nonsense, but real tokens, usage, streams, stop reasons and guided decoding."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.e2e.simulated import SCHEMA, prompts, schema_file
from tests.servers.served import MODEL, address, ask, counters, honest, talked, told, usage_of

pytestmark = pytest.mark.servers
either = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def vllm() -> str:
    return address("VLLM")


@pytest.fixture(scope="module")
def embed() -> str:
    return address("VLLM_EMBED")


@either
def test_chat(vllm: str, stream: bool, tmp_path: Path) -> None:
    outcome = ask(tmp_path, prompts(16, max_tokens=24), vllm, "vllm", stream=stream)
    for record in honest(outcome, 16):
        body, facts = record["response"]["body"], record["batchllm"]
        assert body["object"] == "chat.completion"
        assert told(record) == usage_of(body)
        assert (facts["ttft_s"] is not None) is stream
    assert outcome.summary["usage_unknown"] == 0


def test_a_stream_tells_the_same_as_a_whole_reply(vllm: str, tmp_path: Path) -> None:
    line = {"prompt": "Stream it.", "max_tokens": 12, "temperature": 0, "seed": 1}
    lines = [{"custom_id": "whole", **line}, {"custom_id": "stream", "stream": True, **line}]
    bodies = {record["custom_id"]: record["response"]["body"] for record in honest(ask(tmp_path, lines, vllm, "vllm"), 2)}
    assert usage_of(bodies["whole"]) == usage_of(bodies["stream"])
    assert bodies["whole"]["choices"][0]["finish_reason"] == bodies["stream"]["choices"][0]["finish_reason"]
    assert bodies["whole"]["choices"][0]["message"]["content"] == bodies["stream"]["choices"][0]["message"]["content"]


@either
def test_several_answers(vllm: str, stream: bool, tmp_path: Path) -> None:
    outcome = ask(tmp_path, prompts(4, max_tokens=8, n=3), vllm, "vllm", stream=stream)
    assert all(len(record["response"]["body"]["choices"]) == 3 for record in honest(outcome, 4))


@either
def test_json_schema(vllm: str, stream: bool, tmp_path: Path) -> None:
    """Guided decoding: every line is a valid object, or was cut at the ceiling and says so."""
    lines = prompts(24, max_tokens=120)
    outcome = ask(tmp_path, lines, vllm, "vllm", schema=schema_file(tmp_path), stream=stream)
    honest(outcome, 24)
    assert outcome.summary["structured"] == "json_schema"
    for record in outcome.results:
        assert record["batchllm"]["parsed"]["label"] in SCHEMA["properties"]["label"]["enum"]  # type: ignore[index]
        assert 0 <= record["batchllm"]["parsed"]["score"] <= 9
    assert outcome.results


@pytest.mark.parametrize("mode", ["json_object", "tool", "prompt"])
def test_modes_that_promise_less(vllm: str, mode: str, tmp_path: Path) -> None:
    """A model of random weights keeps to nothing: each line says what is wrong, and both paid answers are in its bill.

    Tools are taken only by a server that was started with --tool-call-parser; another says so to every line.
    """
    lines = prompts(8, max_tokens=60)
    outcome = ask(tmp_path, lines, vllm, "vllm", schema=schema_file(tmp_path), structured=mode, reask=1)
    every = [*outcome.results, *outcome.errors]
    assert len(every) == 8
    if mode == "tool" and all("--tool-call-parser" in (record["error"] or {}).get("message", "") for record in every):
        return
    assert {record["error"]["code"] for record in outcome.errors} <= {"truncated", "schema_invalid", "bad_response"}
    for record in every:
        assert record["batchllm"]["usage"]["completion_tokens"] >= usage_of(record["response"]["body"])[1]
        assert record["batchllm"]["attempts"] <= 3


@either
@pytest.mark.parametrize(("path", "limit"), [("completions", "max_tokens"), ("responses", "max_output_tokens")])
def test_other_paths(vllm: str, path: str, limit: str, stream: bool, tmp_path: Path) -> None:
    lines = [{**line, "url": f"/v1/{path}", limit: 8} for line in prompts(8)]
    for record in honest(ask(tmp_path, lines, vllm, "vllm", stream=stream), 8):
        assert told(record) == usage_of(record["response"]["body"])


def test_responses_with_a_schema(vllm: str, tmp_path: Path) -> None:
    lines = [{**line, "url": "/v1/responses", "max_output_tokens": 120} for line in prompts(8)]
    outcome = ask(tmp_path, lines, vllm, "vllm", schema=schema_file(tmp_path))
    honest(outcome, 8)
    assert outcome.results


@either
def test_conversations(vllm: str, stream: bool, tmp_path: Path) -> None:
    """Held to two words, so that its turns end."""
    body = {"structured_outputs": {"choice": ["yes", "no"]}, "max_tokens": 8}
    lines = [
        {"custom_id": f"talk-{number}", "system": "Be brief.", "turns": [f"Is {number} odd?", "Sure?", "Why?"], **body}
        for number in range(12)
    ]
    outcome = ask(tmp_path, lines, vllm, "vllm", stream=stream)
    assert outcome.counts == (12, 0, 0), outcome.summary["failures"]
    assert outcome.summary["requests"] == 36
    talked(outcome, 12, 3)
    assert {turn["text"] for record in outcome.results for turn in record["batchllm"]["turns"]} <= {"yes", "no"}


def test_a_conversation_whose_history_is_summarised(vllm: str, tmp_path: Path) -> None:
    lines = [{
        "custom_id": "talk", "turns": ["One", "Two", "Three", "Four"], "history": {"summarise": {"last": 2}}, "max_tokens": 8,
        "structured_outputs": {"choice": ["yes", "no"]},
    }]  # fmt: skip
    outcome = ask(tmp_path, lines, vllm, "vllm")
    (record,) = outcome.results
    assert len(record["batchllm"]["summaries"]) == 2
    assert outcome.summary["requests"] == 6


def test_usage_is_the_servers_own_count(vllm: str, tmp_path: Path) -> None:
    """Its counters grow by exactly what we say we used; by more where somebody else asks it meanwhile."""
    before = counters(vllm)
    outcome = ask(tmp_path, prompts(20, max_tokens=20), vllm, "vllm")
    honest(outcome, 20)
    grown = {name: value - before[name] for name, value in counters(vllm).items()}
    usage, asked = outcome.summary["usage"], outcome.summary["requests"]
    ours = {"prompt_tokens": usage["prompt_tokens"], "generation_tokens": usage["completion_tokens"], "request_success": asked}
    alone = grown["request_success"] == asked
    assert all(grown[name] == value if alone else grown[name] >= value for name, value in ours.items()), (grown, ours)


def test_embeddings(embed: str, tmp_path: Path) -> None:
    lines = [
        {"custom_id": "one", "url": "/v1/embeddings", "body": {"input": "the reader counts"}},
        {"custom_id": "two", "url": "/v1/embeddings", "body": {"input": ["a worker", "one shard"]}},
        {"custom_id": "text", "url": "/v1/embeddings", "body": {"input": "x", "encoding_format": "base64"}},
    ]
    outcome = ask(tmp_path, lines, embed, "vllm")
    assert (outcome.exit_code, outcome.counts) == (0, (3, 0, 0)), outcome.summary["failures"]
    bodies = {record["custom_id"]: record["response"]["body"] for record in outcome.results}
    assert [len(bodies[name]["data"]) for name in ("one", "two", "text")] == [1, 2, 1]
    assert isinstance(bodies["text"]["data"][0]["embedding"], str)
    assert outcome.summary["usage"]["prompt_tokens"] == sum(body["usage"]["prompt_tokens"] for body in bodies.values())


def test_an_embedding_that_is_refused_is_one_lines_matter(embed: str, tmp_path: Path) -> None:
    bodies = [{"input": "x", "dimensions": 8}, {"input": "token " * 6000}, {"input": "x"}]
    lines = [{"custom_id": str(number), "url": "/v1/embeddings", "body": body} for number, body in enumerate(bodies)]
    outcome = ask(tmp_path, lines, embed, "vllm")
    assert (outcome.exit_code, outcome.counts) == (1, (1, 2, 0))
    assert {record["custom_id"]: record["error"]["code"] for record in outcome.errors} == {
        "0": "invalid_request",
        "1": "too_large",
    }


def test_what_it_refuses_is_read_as_what_it_is(vllm: str, tmp_path: Path) -> None:
    bodies = {
        "too_large": {"messages": [{"role": "user", "content": "token " * 6000}], "max_tokens": 5},
        "invalid_request": {"messages": [{"role": "user", "content": "x"}], "temperature": -1},
        "not_found": {"messages": [{"role": "user", "content": "x"}], "model": "nope"},
    }
    lines = [
        {"custom_id": "good", "prompt": "x", "max_tokens": 2},
        *({"custom_id": name, "body": body} for name, body in bodies.items()),
    ]
    outcome = ask(tmp_path, lines, vllm, "vllm")
    codes = {record["custom_id"]: record["error"]["code"] for record in outcome.errors}
    assert codes.pop("good", "truncated") == "truncated"
    assert codes == {name: name for name in bodies}


@pytest.mark.parametrize("line", [{"model": "nope"}, {"url": "/v1/embeddings"}], ids=["model", "path"])
def test_what_is_not_there_stops_the_run_after_a_few_lines(vllm: str, line: dict[str, str], tmp_path: Path) -> None:
    outcome = ask(tmp_path, prompts(60, **line), vllm, "vllm", concurrency=2)
    assert outcome.exit_code == 77
    assert outcome.counts[0] == 0
    assert outcome.counts[2] >= 50


def test_killed_in_the_middle_it_goes_on_where_it_stopped(vllm: str, command: Command) -> None:
    """`kill -9` once some answers are there: those stay as they are, and only the others are asked again."""
    command.write("job.jsonl", *prompts(60, max_tokens=48))
    args = ["run", "job.jsonl", "--provider", "vllm", "--base-url", vllm, "--model", MODEL, "-c", "4", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "batchllm", *args],
        cwd=command.folder,
        env=command.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = command.folder / "outputs/job"
    while written(folder) < 8 and process.poll() is None:
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = (folder / "results.jsonl").read_bytes()
    kept = before[: before.rfind(b"\n") + 1]
    decided = written(folder)
    ended = command(*args, timeout=300)
    assert ended.code in (0, 1), ended.err
    assert (folder / "results.jsonl").read_bytes().startswith(kept)
    counts = ended.summary["request_counts"]
    assert counts["completed"] + counts["failed"] == 60
    assert ended.summary["requests"] <= 60 - decided + 4
    names = [json.loads(line)["custom_id"] for name in ("results", "errors") for line in lines_of(folder / f"{name}.jsonl")]
    assert len(set(names)) == len(names) == 60


def written(folder: Path) -> int:
    """Lines with a record: answers, and failures for good."""
    failures = [line for line in lines_of(folder / "attempts.jsonl") if b'"record"' in line]
    return len(lines_of(folder / "results.jsonl")) + len(failures)


def lines_of(path: Path) -> list[bytes]:
    """The whole lines of a file that may be in the midst of being written."""
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines()
