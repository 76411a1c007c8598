"""Lines of embeddings that go together, and how what came back is shared among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchllm.endpoints import endpoint_for
from batchllm.errors import ErrorCode, Phase, TransportError
from batchllm.pack import Pack, packed, shares
from batchllm.records import Record
from batchllm.settings import Retries
from batchllm.steps import Again, Done, Halt, Onward
from batchllm.testing.simulation import route
from batchllm.types import Json, Reply, Request

ROUTE = replace(route(Retries()), endpoint_for=endpoint_for)


def line(number: int, text: Any = None, url: str = "/v1/embeddings", **body: Any) -> Request:
    content = {"model": "e", "input": f"text {number}" if text is None else text, **body}
    return Request(number, f"doc-{number}", url, content, f"{number:032x}", {"row": number})


@given(st.integers(0, 10_000), st.lists(st.integers(0, 1000), min_size=1, max_size=40))
def test_shares_add_up_and_are_fair_to_within_one(total: int, weights: list[int]) -> None:
    parts = shares(total, weights)
    assert sum(parts) == total
    even = weights if any(weights) else [1] * len(weights)
    assert all(abs(part - total * weight / sum(even)) < 1 for part, weight in zip(parts, even, strict=True))


def test_only_lines_that_differ_in_their_input_alone_go_together() -> None:
    lines = [
        line(1),
        line(2),
        line(3, model="f"),
        line(4, ["a", "b"]),
        line(5, url="/v1/rerank"),
        line(6),
        line(7, dimensions=8),
    ]
    found = [one for batch in packed([lines[:3], lines[3:]], 10) for one in batch]
    groups = [tuple(one.line for one in group) if isinstance(group, tuple) else group.line for group in found]
    assert sorted(groups, key=str) == sorted([(1, 2, 6), 3, 4, 5, 7], key=str)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=80), st.integers(2, 7), st.integers(1, 9))
def test_no_line_is_lost_or_doubled_by_packing(kinds: list[tuple[int, bool]], size: int, batch: int) -> None:
    lines = [line(number, None if plain else ["x"], model=str(kind)) for number, (kind, plain) in enumerate(kinds, 1)]
    batches = [lines[at : at + batch] for at in range(0, len(lines), batch)]
    found = [one for group in packed(batches, size) for one in group]
    assert all(len(one) <= size for one in found if isinstance(one, tuple))
    flat = [one.line for group in found for one in (group if isinstance(group, tuple) else (group,))]
    assert sorted(flat) == [one.line for one in lines]


def embeddings(body: Json) -> Reply:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "index": at, "embedding": [float(len(text)), 0.5]} for at, text in enumerate(texts)]
    whole = {
        "object": "list",
        "data": data[::-1],
        "model": "e",
        "usage": {"prompt_tokens": 7 * len(texts) + 1, "total_tokens": 7 * len(texts) + 1},
    }
    return Reply(200, {}, json.dumps(whole).encode(), 0.1)


def refusal(status: int = 400) -> Reply:
    return Reply(status, {}, b'{"error": {"message": "input is invalid", "type": "invalid_request_error"}}', 0.1)


def ask(pack: Pack, answer: Callable[[Json], Reply]) -> tuple[list[Record], list[Json], int]:
    """The records, the notes and the number of requests of a pack that is asked to its end."""
    records: list[Record] = []
    notes: list[Json] = []
    for sent in range(1, 1000):
        body = json.loads(pack.call(0.0).body)
        step = pack.received(answer(body), 0.0, 0.0)
        assert not isinstance(step, Halt)
        if isinstance(step, Again):
            notes.append(step.note)
            continue
        done = step.kept if isinstance(step, Onward) else step
        assert isinstance(done, Done)
        records += done.records
        if step is done:
            return records, notes, sent
    raise AssertionError


def test_each_line_gets_its_own_record_as_if_it_had_been_asked_alone() -> None:
    lines = tuple(line(number, "x" * number * 10) for number in range(1, 5))
    records, notes, sent = ask(Pack(ROUTE, lines), embeddings)
    assert (sent, notes) == (1, [])
    for one, request in zip(records, lines, strict=True):
        assert (one.line, one.custom_id, one.digest) == (request.line, request.custom_id, request.digest)
        assert one.body["data"] == [{"object": "embedding", "index": 0, "embedding": [float(10 * request.line), 0.5]}]
        assert one.facts["metadata"] == {"row": request.line}
        assert one.facts["packed"] == 4
        assert one.body["usage"]["prompt_tokens"] == one.facts["usage"]["prompt_tokens"] == one.usage.prompt_tokens
    assert sum(one.usage.total_tokens or 0 for one in records) == 29
    assert records[3].usage.prompt_tokens > records[0].usage.prompt_tokens  # type: ignore[operator]


def test_a_refused_pack_is_halved_until_only_the_bad_line_fails() -> None:
    lines = tuple(line(number) for number in range(1, 9))
    seen: list[list[str]] = []

    def answer(body: Json) -> Reply:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        seen.append(texts)
        return refusal() if "text 3" in texts else embeddings(body)

    records, notes, sent = ask(Pack(ROUTE, lines), answer)
    failed = [one for one in records if not one.ok]
    assert [(one.line, one.code) for one in failed] == [(3, ErrorCode.INVALID_REQUEST)]
    assert sorted(one.line for one in records) == list(range(1, 9))
    assert sent == len(seen) == 7
    assert {note["billed"] for note in notes} == {"no"}


@given(st.integers(2, 40), st.sets(st.integers(1, 40)))
def test_exactly_the_bad_lines_fail_whichever_they_are(count: int, bad: set[int]) -> None:
    lines = tuple(line(number) for number in range(1, count + 1))
    words = {f"text {number}" for number in bad}

    def answer(body: Json) -> Reply:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        return refusal() if words & set(texts) else embeddings(body)

    records, _, _ = ask(Pack(ROUTE, lines), answer)
    assert sorted(one.line for one in records) == list(range(1, count + 1))
    assert {one.line for one in records if not one.ok} == {number for number in bad if number <= count}


def test_a_reply_that_lacks_a_line_is_not_believed_of_any() -> None:
    def answer(body: Json) -> Reply:
        reply = embeddings(body)
        if isinstance(body["input"], list):
            whole = json.loads(reply.body)
            return replace(reply, body=json.dumps({**whole, "data": whole["data"][1:]}).encode())
        return reply

    records, notes, sent = ask(Pack(ROUTE, (line(1), line(2))), answer)
    assert [one.ok for one in records] == [True, True]
    assert sent == 3
    assert [note["billed"] for note in notes] == ["yes"]


def test_a_missing_path_is_not_asked_for_in_halves() -> None:
    records, notes, sent = ask(Pack(ROUTE, (line(1), line(2))), lambda body: refusal(404))
    assert (sent, notes) == (1, [])
    assert {one.code for one in records} == {ErrorCode.NOT_FOUND}


def test_an_error_that_may_pass_is_tried_again_as_one_pack() -> None:
    pack = Pack(ROUTE, (line(1), line(2)))
    pack.call(0.0)
    step = pack.failed(TransportError(Phase.CONNECT, "refused"), 0.0, 0.5)
    assert isinstance(step, Again)
    assert json.loads(pack.call(0.0).body)["input"] == ["text 1", "text 2"]
