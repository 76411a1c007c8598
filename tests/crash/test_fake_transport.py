"""The transport that stands in for the real one keeps a transport's promises, and its ledger sees what the client does not."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from batchllm.endpoints import endpoint_for
from batchllm.errors import Phase, TransportError
from batchllm.testing import FakeTransport, Ledger, chat_reply, error_reply, run_virtual
from batchllm.types import Call

BODY = orjson.dumps({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]})
CALL = Call("http://127.0.0.1:9/v1/chat/completions", BODY)


def _sent(script, feed=None, ledger=None):
    async def main():
        async with FakeTransport(script, ledger) as transport:
            return await transport.send(CALL, feed)

    return run_virtual(main())


def test_a_reply_comes_as_scripted_with_its_header_names_in_lower_case():
    reply = _sent(lambda text, nth, body: error_reply(429, retry_after="7"))
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")


def test_a_failure_is_raised_and_still_stands_in_the_ledger():
    ledger = Ledger()
    with pytest.raises(TransportError):
        _sent(lambda text, nth, body: TransportError(Phase.READ, "broke off", status=200), ledger=ledger)
    assert [(one.text, one.status) for one in ledger.entries] == [("hi", 200)]


def test_a_streamed_reply_is_fed_in_pieces_that_make_the_same_answer():
    assembler = endpoint_for("/v1/chat/completions").assembler({})
    reply = _sent(lambda text, nth, body: chat_reply("said"), feed=assembler.feed)
    assert assembler.finished
    assert assembler.body()["choices"][0]["message"]["content"] == "said"
    assert assembler.body()["usage"]["total_tokens"] == 15
    assert reply.body.endswith(b"data: [DONE]\n\n")


def test_an_error_is_not_fed_to_a_stream():
    pieces = []
    _sent(lambda text, nth, body: error_reply(500), feed=pieces.append)
    assert pieces == []


def test_the_count_a_script_sees_outlives_the_client():
    ledger, seen = Ledger(), []

    def script(text, nth, body):
        seen.append(nth)
        return chat_reply("said")

    for _ in range(3):
        _sent(script, ledger=ledger)
    assert seen == [0, 1, 2]
    assert ledger.answers() == {"hi": 3}
    assert ledger.answers(2) == {"hi": 1}


def test_nothing_is_accepted_from_a_dead_process():
    ledger = Ledger()

    async def main():
        await FakeTransport(lambda text, nth, body: chat_reply("said"), ledger, lambda: False).send(CALL)

    with pytest.raises(asyncio.CancelledError):
        run_virtual(main())
    assert len(ledger) == 0
