"""The catalogue covers every row in the design's words, and the recorded replies are what they say."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.faultserver.bodies import BODIES, STREAMS
from tests.faultserver.catalogue import CATALOGUE, NEEDS, NOT_FROM_A_SERVER, OUTCOMES, ROWS, Fault
from tests.faultserver.client import bounded, connected, request_bytes


@pytest.mark.parametrize("name", BODIES)
def test_no_shorter_prefix_of_a_body_is_a_value(name: str) -> None:
    body = BODIES[name]
    assert json.loads(body.raw[: body.complete_from])["choices"][0]["message"].get("content") == body.content
    for length in range(body.complete_from):
        with pytest.raises(ValueError, match=r"line|utf-8"):
            json.loads(body.raw[:length].decode("utf-8"))


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_proved_by_its_last_finish(name: str) -> None:
    stream = STREAMS[name]
    marks = [b'"finish_reason":"' in line for line in stream.raw[: stream.cut_until + 1].splitlines()]
    assert sum(marks) == len(stream.contents)
    assert b"[DONE]" not in stream.raw[: stream.complete_from]
    assert stream.raw[: stream.complete_from].endswith((b"\n\n", b"\r\n\r\n"))


def test_the_catalogue_has_every_row_once_per_variant() -> None:
    assert {fault.id for fault in CATALOGUE} | set(NOT_FROM_A_SERVER) == set(ROWS)
    assert len({fault.name for fault in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("fault", CATALOGUE, ids=lambda fault: fault.name)
def test_expectations_use_the_words_of_the_design(fault: Fault) -> None:
    expect = fault.expect
    assert {expect.outcome, *expect.also} <= OUTCOMES
    assert set(fault.needs) <= NEEDS
    assert expect.requests[0] <= expect.requests[1]
    assert expect.wait_s <= expect.within_s
    assert set(expect.exit_codes) <= {0, 1, 2, 65, 69, 75, 77}
    assert expect.exits or not expect.pending, "an item stays pending only where the run stopped"


@pytest.mark.parametrize(
    "fault",
    [fault for fault in CATALOGUE if not fault.connect and not fault.tls],
    ids=lambda fault: fault.name,
)
@bounded
async def test_every_fault_can_be_served(fault: Fault) -> None:
    async with fault.server() as server, connected(server.base_url) as (reader, writer):
        writer.write(request_bytes(fault.texts[0]))
        await server.until(lambda: len(server.requests) == 1)
        assert server.requests[0].text == "item-1"
        reading = asyncio.create_task(reader.read(1))
        ended = asyncio.create_task(server.until(lambda: bool(server.answers)))
        await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED, timeout=0.05)
        for task in (reading, ended):
            task.cancel()
        await asyncio.gather(reading, ended, return_exceptions=True)
