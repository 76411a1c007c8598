"""Every reply cut at every byte: what is no whole answer never counts as one (H16, H17, H27).

The pure path takes the bytes as a transport hands them over when a body that is closed without a length ends early,
the worst case: nothing on the wire says that something is missing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from batchllm import assembly
from batchllm.errors import Phase, TransportError
from batchllm.item import Item
from batchllm.route import Route
from batchllm.steps import Done
from batchllm.steps import Step as Outcome
from batchllm.types import Reply, Request
from tests.e2e import jumping
from tests.e2e.trial import conduct, configuration, timed, write_job
from tests.faultserver import FaultServer, Script, Step, cut, framed
from tests.faultserver.bodies import BODIES, STREAMS, Body, Stream

JSON_HEADERS = {"content-type": "application/json"}
SSE_HEADERS = {"content-type": "text/event-stream"}
Replies = Mapping[str, Any]


@cache
def route() -> Route:
    return assembly.parts(configuration("http://127.0.0.1:9/v1"), Path("job.jsonl"), Path("out"), command="").route


def item(body: Mapping[str, Any]) -> Item:
    asked = {"model": "test-model", "messages": [{"role": "user", "content": "hi"}], **body}
    one = Item(route(), Request(1, "item-1", "/v1/chat/completions", asked, "0" * 32))
    one.call(0.0)
    return one


def closed_early(data: bytes, *, stream: bool, choices: int = 1) -> Outcome:
    """A transport's complete reply of these bytes: the server closed, and no length said that this was too soon."""
    one = item({"stream": True, "n": choices} if stream else {})
    if one.feed is not None:
        for start in range(0, len(data), 97):
            one.feed(data[start : start + 97])
    return one.received(Reply(200, SSE_HEADERS if stream else JSON_HEADERS, data, 1.0), 1.0, 0.5)


def broken_off(data: bytes, *, stream: bool, choices: int = 1) -> Outcome:
    """A transport's failure after these bytes."""
    one = item({"stream": True, "n": choices} if stream else {})
    if one.feed is not None:
        one.feed(data)
    error = TransportError(
        Phase.READ, "the reply broke off", partial=data, status=200, headers=SSE_HEADERS if stream else JSON_HEADERS
    )
    return one.failed(error, 1.0, 0.5)


def answered(step: Outcome) -> bool:
    """Whether the step takes the reply for a whole one: an answer, or what only a whole reply can say (filtered, refused)."""
    return isinstance(step, Done)


ENDS = pytest.mark.parametrize("ended", [closed_early, broken_off], ids=["H17-closed", "H16-broken-off"])


@ENDS
@pytest.mark.parametrize("name", BODIES)
def test_no_part_of_a_json_reply_is_an_answer(name: str, ended: Any) -> None:
    body = BODIES[name]
    for length in range(len(body.raw) + 1):
        step = ended(body.raw[:length], stream=False)
        assert answered(step) == (length >= body.complete_from), length
        if answered(step):
            assert_says(body, step)


def assert_says(body: Body, step: Done) -> None:
    record = step.record
    assert record.body["choices"][0]["message"].get("content") == body.content
    if body.usage is not None:
        assert (record.usage.prompt_tokens, record.usage.completion_tokens) == body.usage


@pytest.mark.parametrize("ended", [closed_early, broken_off], ids=["H27-closed", "H27-broken-off"])
@pytest.mark.parametrize("name", STREAMS)
def test_no_part_of_a_stream_is_an_answer(name: str, ended: Any) -> None:
    stream = STREAMS[name]
    for length in range(len(stream.raw) + 1):
        step = ended(stream.raw[:length], stream=True, choices=len(stream.contents))
        if length <= stream.cut_until:
            assert not answered(step), length
        if length >= stream.complete_from:
            assert answered(step), length
        if answered(step):
            assert_streamed(stream, step)


def assert_streamed(stream: Stream, step: Done) -> None:
    """Whatever passes for whole says all that the whole stream says, perhaps but for the usage."""
    choices = step.record.body["choices"]
    assert tuple(choice["message"]["content"] or "" for choice in choices) == stream.contents
    assert {choice["finish_reason"] for choice in choices} == {stream.finish}
    calls = choices[0]["message"].get("tool_calls", [])
    assert tuple((call["function"]["name"], call["function"]["arguments"]) for call in calls) == stream.tools


KINDS = [(BODIES, name) for name in BODIES] + [(STREAMS, name) for name in STREAMS]


@pytest.mark.parametrize(
    ("replies", "name"), KINDS, ids=[f"{'json' if kind is BODIES else 'stream'}-{name}" for kind, name in KINDS]
)
def test_a_cut_reply_that_may_be_paid_for_is_kept_as_it_came_h16(replies: Replies, name: str) -> None:
    """The bytes stand in the attempt's note: a person can read what the money bought."""
    raw = replies[name].raw
    half = raw[: len(raw) // 2]
    step = broken_off(half, stream=replies is STREAMS)
    assert not isinstance(step, Done)
    assert step.note["billed"] == "maybe"
    assert step.note["body"] == half.decode("utf-8", "backslashreplace")


def sample(replies: Replies, seed: int, per_reply: int) -> list[tuple[str, Any, int]]:
    """Names, framings, and lengths at which no reply can pass for whole."""
    chosen = random.Random(seed)
    framings = ("chunked", "close") if replies is STREAMS else ("length", "chunked", "close")
    return [
        (name, framing, chosen.randrange(reply.cut_until if isinstance(reply, Stream) else reply.complete_from))
        for name, reply in replies.items()
        for framing in framings
        for _ in range(per_reply)
    ]


def cut_over_sockets(tmp_path: Path, replies: Replies, cuts: list[tuple[str, Any, int]]) -> None:
    """One line for each cut: cut once over a real socket, then answered whole. Each is asked for twice, and answered right."""
    steps, lines = {}, []
    for number, (name, framing, at) in enumerate(cuts):
        whole = whole_step(replies[name])
        steps[f"{number}"] = [cut(framed(whole, framing), at, of="body"), whole]
        lines.append(
            {"custom_id": f"{number}", "prompt": f"{number}", "stream": replies is STREAMS, "n": 2 if "n2" in name else 1}
        )

    async def main() -> None:
        times: list[float] = []
        async with FaultServer(timed(Script.by_text(steps), times)) as server:
            job = write_job(tmp_path / "job.jsonl", lines)
            # Every line breaks at first: asked in wide rows that would be an endpoint that is down, and is treated so.
            waits = {"base": 0.001, "cap": 0.001}
            trial = await conduct(server, job, tmp_path / "out", times, concurrency=2, retries=waits)
        assert len(trial.requests) == 2 * len(cuts)
        for number, (name, _, _) in enumerate(cuts):
            record = trial.records[f"{number}"]
            assert (record["response"]["body"]["choices"][0]["message"]["content"] or "") == content_of(replies[name])

    jumping.run(main())


def whole_step(reply: Body | Stream) -> Step:
    return reply.step() if isinstance(reply, Stream) else reply.step


def content_of(reply: Body | Stream) -> str:
    return (reply.contents[0] if isinstance(reply, Stream) else reply.content) or ""


OVER_SOCKETS = pytest.mark.parametrize("replies", [BODIES, STREAMS], ids=["h16-h17-json", "h27-stream"])


@OVER_SOCKETS
@pytest.mark.parametrize("seed", [1, 2])
def test_replies_cut_over_real_sockets_are_asked_for_again(replies: Replies, seed: int, tmp_path: Path) -> None:
    cut_over_sockets(tmp_path, replies, sample(replies, seed, 1))


@pytest.mark.sweep
@OVER_SOCKETS
@pytest.mark.parametrize("seed", range(20))
def test_many_replies_cut_over_real_sockets_are_asked_for_again(replies: Replies, seed: int, tmp_path: Path) -> None:
    cut_over_sockets(tmp_path, replies, sample(replies, 1000 + seed, 5))
