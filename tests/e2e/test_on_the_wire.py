"""What goes out and what comes back, seen from the other end of the wire, where no dialect of the simulator says it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from batchllm import assembly
from batchllm.configuration import load
from batchllm.pipeline import Run
from batchllm.simulator import Latency, SimulatorOptions, run_in_thread
from batchllm.types import Json
from tests.conftest import Command, records
from tests.e2e.simulated import Line, Outcome, perform, prompts, schema_file
from tests.faultserver import FaultServer, Request, ScriptLike, Step, chunk, json_reply, ok_chat, sse
from tests.faultserver import run_in_thread as serving

KEY = "sk-wire-0123456789abcdef"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 20


def heard(root: Path, script: ScriptLike, lines: Sequence[Line], **settings: Any) -> tuple[Outcome, list[Request]]:
    """One run against a raw server: what it left behind, and the requests as they came."""
    job = root / "job.jsonl"
    job.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with serving(FaultServer(script)) as server:
        base_url = server.base_url.removesuffix("/v1") if settings.get("provider") == "azure" else server.base_url
        flags = {"base_url": base_url, "model": "m", "concurrency": 2, "api_key_env": "TEST_KEY", **settings}
        made = load(job, flags, working_dir=root, environ={"TEST_KEY": KEY})
        run = Run(assembly.parts(made, job, root / "out", command="batchllm run"))
        run.prepare()
        try:
            asyncio.run(run.execute())
        finally:
            summary = run.conclude()
        return Outcome(summary, root / "out", {}, 0.0), list(server.calls)


# -- addresses and keys ------------------------------------------------------------------------------------------------


def test_azure_gets_its_key_its_version_and_the_deployment_in_the_path(tmp_path: Path) -> None:
    own = {"ours": {"like": "azure", "query": {"api-version": "2025-01-01"}, "key_env": "TEST_KEY"}}
    outcome, (asked,) = heard(tmp_path, lambda _: ok_chat(), prompts(1), provider="azure", model="my deployment")
    assert outcome.counts == (1, 0, 0)
    assert asked.path == "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == KEY
    assert "authorization" not in asked.headers
    again = tmp_path / "again"
    again.mkdir()
    _, (asked,) = heard(again, lambda _: ok_chat(), prompts(1), provider="ours", providers=own, model="d")
    assert asked.path.endswith("/deployments/d/chat/completions?api-version=2025-01-01")


def test_any_other_endpoint_is_an_address_and_the_name_of_a_variable(tmp_path: Path) -> None:
    _, (asked,) = heard(tmp_path, lambda _: ok_chat(), prompts(1))
    assert (asked.path, asked.headers["authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")


def test_a_provider_of_the_settings_has_its_own_header_path_and_query(tmp_path: Path) -> None:
    row = {"key_env": "TEST_KEY", "auth": "api-key", "headers": {"X-Team": "night"}, "query": {"tenant": "a b"}}
    _, (asked,) = heard(tmp_path, lambda _: ok_chat(), prompts(1), provider="ours", providers={"ours": row}, api_key_env=None)
    assert asked.path == "/v1/chat/completions?tenant=a+b"
    assert (asked.headers["api-key"], asked.headers["x-team"]) == (KEY, "night")


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "asked"), [("openai", True), ("vllm", True), ("siliconflow", False), ("mistral", False)])
def test_usage_is_asked_for_in_streams_where_the_endpoint_has_it(name: str, asked: bool, tmp_path: Path) -> None:
    lines = [*prompts(1, stream=True), {"custom_id": "whole", "prompt": "x"}]
    _, requests = heard(tmp_path, _either, lines, provider=name)
    told = {request.text: request.json.get("stream_options") for request in requests}
    assert told == {"Tell about 1": {"include_usage": True} if asked else None, "x": None}


def _either(request: Request) -> Step:
    return sse(("o", "k"), usage={"prompt_tokens": 1, "completion_tokens": 2}) if request.json.get("stream") else ok_chat()


def test_of_several_usages_in_a_stream_the_last_one_counts(tmp_path: Path) -> None:
    counted = [
        chunk({"content": text}, usage={"prompt_tokens": 7, "completion_tokens": at}) for at, text in ((1, "a"), (2, "b"))
    ]
    ended = {"prompt_tokens": 7, "completion_tokens": 3}
    outcome, _ = heard(tmp_path, lambda _: sse(counted, usage=ended), prompts(1), stream=True)
    (record,) = outcome.results
    assert record["batchllm"]["usage"]["completion_tokens"] == 3
    assert outcome.summary["usage"]["total_tokens"] == 10


def test_a_stream_cut_before_its_finish_is_asked_again_and_what_came_stays(tmp_path: Path) -> None:
    """Closed properly, by HTTP's rules: only the answer's own end is missing."""
    script = [sse(("hal", "f"), finish_reason=None, done=False), sse(("whole",))]
    outcome, requests = heard(tmp_path, script, prompts(1), stream=True, retries={"base": 0.01})
    assert (outcome.counts, len(requests)) == ((1, 0, 0), 2)
    assert outcome.results[0]["response"]["body"]["choices"][0]["message"]["content"] == "whole"
    (note,) = outcome.notes
    assert note["body"]["choices"][0]["message"]["content"] == "half"
    assert (note["code"], note["billed"]) == ("bad_response", "maybe")


def test_choices_log_probabilities_and_calls_are_put_together(tmp_path: Path) -> None:
    def piece(index: int, finish: str | None = None, token: str = "", **delta: Any) -> Json:
        said = {"content": [{"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []}]} if token else None
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": said}
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    call: Json = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a"'}}
    stream = [
        piece(1, token="b", content="b"), piece(0, tool_calls=[call]), piece(1, token="y", content="y"),
        piece(0, tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]), piece(1, "stop"), piece(0, "tool_calls"),
    ]  # fmt: skip
    outcome, _ = heard(tmp_path, lambda _: sse(stream, finish_reason=None), prompts(1, n=2, logprobs=True), stream=True)
    first, second = outcome.results[0]["response"]["body"]["choices"]
    assert first["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a": 1}'}
    assert (first["finish_reason"], second["finish_reason"]) == ("tool_calls", "stop")
    assert second["message"]["content"] == "by"
    assert [one["token"] for one in second["logprobs"]["content"]] == ["b", "y"]


def test_the_summary_has_the_percentiles_of_the_first_token_and_of_the_rate(tmp_path: Path) -> None:
    """Half a second to the first token, then a hundred tokens a second. Nothing of it is claimed of whole replies."""
    options = {"latency": Latency(first_token_s=0.5, per_token_s=0.01)}
    lines = [*prompts(20, stream=True), {"custom_id": "whole", "prompt": "x"}]
    outcome = perform(tmp_path, lines, options=options)
    assert outcome.counts == (21, 0, 0)
    assert set(outcome.summary["ttft_s"]) == set(outcome.summary["tokens_per_s_per_request"]) == {"p50", "p90", "p99"}
    assert outcome.summary["ttft_s"]["p50"] == pytest.approx(0.5, rel=0.15)
    assert outcome.summary["tokens_per_s_per_request"]["p50"] == pytest.approx(100, rel=0.25)
    timed = {record["custom_id"] for record in outcome.results if record["batchllm"]["ttft_s"] is not None}
    assert timed == {record["custom_id"] for record in outcome.results} - {"whole"}


def test_a_run_without_streams_has_no_such_percentiles(tmp_path: Path) -> None:
    outcome = perform(tmp_path, prompts(2))
    assert (outcome.summary["ttft_s"], outcome.summary["tokens_per_s_per_request"]) == (None, None)


# -- thinking ----------------------------------------------------------------------------------------------------------

THINKING: Json = {
    "enable_thinking": True,
    "thinking_budget": 100,
    "chat_template_kwargs": {"enable_thinking": True},
    "reasoning_effort": "low",
}


def test_how_much_is_thought_passes_through_from_the_line_and_from_the_settings(tmp_path: Path) -> None:
    lines = [{"custom_id": "settings", "prompt": "a"}, {"custom_id": "line", "prompt": "b", "reasoning_effort": "high"}]
    _, requests = heard(tmp_path, lambda _: ok_chat(), lines, body=THINKING)
    sent = {request.text: {name: request.json.get(name) for name in THINKING} for request in requests}
    assert sent == {"a": THINKING, "b": {**THINKING, "reasoning_effort": "high"}}


SHAPES = {
    "reasoning_content": {"reasoning_content": "thought", "content": "answer"},
    "reasoning": {"reasoning": "thought", "content": "answer"},
    "tags": {"content": "<think>\nthought\n</think>\n\nanswer"},
    "closing-tag": {"content": "thought\n</think>\n\nanswer"},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("message", SHAPES.values(), ids=SHAPES)
def test_thoughts_end_in_the_record_and_not_in_the_answer(message: dict[str, str], stream: bool, tmp_path: Path) -> None:
    said = {**message, "content": message["content"].replace("answer", '{"label": "yes", "score": 1}')}

    def reply(_: Request) -> Step:
        halves = [{key: text[at:] if at else text[:5]} for key, text in said.items() for at in (0, 5)]
        return sse([chunk(half) for half in halves]) if stream else ok_chat(said["content"], message=said)

    outcome, requests = heard(tmp_path, reply, prompts(1), schema=schema_file(tmp_path), stream=stream)
    (record,) = outcome.results
    assert len(requests) == 1
    assert record["batchllm"]["reasoning"] == "thought"
    assert record["batchllm"]["parsed"] == {"label": "yes", "score": 1}


@pytest.mark.parametrize("message", [{"content": "<think>and then"}, {"content": "", "reasoning_content": "and then"}])
def test_an_answer_that_is_empty_since_thinking_used_up_the_tokens_is_named_so(message: dict[str, str], tmp_path: Path) -> None:
    outcome, requests = heard(tmp_path, lambda _: ok_chat(message=message, finish_reason="length"), prompts(1))
    (record,) = outcome.errors
    assert (record["error"]["code"], len(requests)) == ("truncated", 1)
    assert record["error"]["message"].startswith("Thinking used up the tokens before the answer began")
    assert record["batchllm"]["reasoning"] == "and then"


def test_an_export_has_thoughts_in_a_column_of_their_own(command: Command) -> None:
    command.write("job.jsonl", *prompts(3))
    with run_in_thread(SimulatorOptions(seed=1, reasoning="think")) as hosted:
        assert command("run", "job.jsonl", "--base-url", hosted.base_url, "--model", "m").code == 0
    ended = command("export", "outputs/job", "-o", "out.jsonl")
    assert ended.code == 0, ended.err
    rows = records(command.folder / "out.jsonl")
    assert len(rows) == 3
    for row in rows:
        assert row["reasoning"]
        assert "think>" not in json.dumps(row)


# -- other paths -------------------------------------------------------------------------------------------------------

OTHER: dict[str, tuple[str, Json, Json, tuple[int | None, int | None]]] = {
    "rerank": (
        "/v1/rerank",
        {"query": "q", "documents": ["a", "b"]},
        {"results": [{"index": 1, "relevance_score": 0.9}], "meta": {"tokens": {"input_tokens": 5, "output_tokens": 0}}},
        (5, 5),
    ),
    "score": (
        "/v1/score",
        {"text_1": "a", "text_2": ["b"]},
        {"data": [{"index": 0, "score": 0.5}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        (8, 8),
    ),
    "images": (
        "/v1/images/generations",
        {"prompt": "a house"},
        {
            "created": 1,
            "data": [{"b64_json": "iVBORw0KGgo="}],
            "usage": {"input_tokens": 3, "output_tokens": 100, "total_tokens": 103},
        },
        (3, 103),
    ),
    "unpriced": ("/v1/rerank", {"query": "q", "documents": ["a"]}, {"results": [{"index": 0}]}, (None, None)),
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, {}, (12, 15)),
}


def test_other_paths_pass_through_in_one_job_with_their_usage_if_they_tell_one(tmp_path: Path) -> None:
    def reply(request: Request) -> Step:
        body = next(
            body for url, asked, body, _ in OTHER.values() if url == request.path and asked.items() <= request.json.items()
        )
        return json_reply(body) if body else ok_chat(usage={"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15})

    lines = [{"custom_id": name, "method": "POST", "url": url, "body": asked} for name, (url, asked, _, _) in OTHER.items()]
    outcome, _ = heard(tmp_path, reply, lines)
    assert outcome.counts == (len(OTHER), 0, 0), outcome.summary["failures"]
    for record in outcome.results:
        _, _, body, usage = OTHER[record["custom_id"]]
        told = record["batchllm"]["usage"]
        assert body in ({}, record["response"]["body"])
        assert (told["prompt_tokens"], told["total_tokens"]) == usage
    assert outcome.summary["usage"]["total_tokens"] == 5 + 8 + 103 + 15
    assert outcome.summary["usage_unknown"] == 1


def test_base64_embeddings_are_kept_as_they_came_and_packed_like_others(tmp_path: Path) -> None:
    lines: list[Line] = [
        {"custom_id": f"doc-{number}", "url": "/v1/embeddings", "prompt": f"text {number}", "encoding_format": "base64"}
        for number in range(6)
    ]
    outcome = perform(tmp_path, lines, pack=4)
    assert (outcome.counts, outcome.stats["requests"]) == ((6, 0, 0), 2)
    for record in outcome.results:
        (one,) = record["response"]["body"]["data"]
        assert len(base64.b64decode(one["embedding"], validate=True)) == 4 * 64
        assert record["batchllm"]["usage"]["prompt_tokens"] > 0
    told = sum(record["batchllm"]["usage"]["prompt_tokens"] for record in outcome.results)
    assert told == sum(entry["prompt_tokens"] for entry in outcome.ledger) == outcome.summary["usage"]["prompt_tokens"]


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "prefix"), [("custom", ""), ("dashscope", "data:;base64,")])
def test_local_sound_is_sent_as_the_endpoint_takes_it(name: str, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls/1.wav").write_bytes(WAV)
    part = {"type": "input_audio", "input_audio": {"data": "file:1.wav"}}
    line = {"custom_id": "a", "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]}
    own = {"ours": {"like": name, "key_env": "TEST_KEY"}}
    settings: Json = {"provider": "ours", "providers": own, "media_root": str(tmp_path / "calls")}
    outcome, (asked,) = heard(tmp_path, lambda _: ok_chat(), [line], **settings)
    assert outcome.counts == (1, 0, 0)
    sent = asked.json["messages"][0]["content"][1]["input_audio"]
    assert sent == {"data": prefix + base64.b64encode(WAV).decode(), "format": "wav"}


def test_a_large_image_is_shrunk_on_request(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (900, 300), "red").save(tmp_path / "large.png")
    part = {"type": "image_url", "image_url": {"url": "large.png"}}
    line = {"custom_id": "a", "messages": [{"role": "user", "content": [part]}]}
    _, (asked,) = heard(tmp_path, lambda _: ok_chat(), [line], media_root=str(tmp_path), image_max_px=300)
    head, _, coded = asked.json["messages"][0]["content"][0]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert image.open(BytesIO(base64.b64decode(coded))).size == (300, 100)
