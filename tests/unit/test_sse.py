"""The event-stream standard, and independence of how the bytes were cut."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.sse import Event, EventStream

Events = list[bytes | Event]


def read(*pieces: bytes, close: bool = False) -> Events:
    stream = EventStream()
    events = [event for piece in pieces for event in stream.feed(piece)]
    return events + stream.close() if close else events


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: {}\n\n", [b"{}"]),
        (b"data:{}\n\n", [b"{}"]),
        (b"data:  {}\n\n", [b" {}"]),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\ndata: b\n\r", [b"a", b"b"]),
        (b"data: a\ndata: b\ndata:\ndata: c\n\n", [b"a\nb\n\nc"]),
        (b"data\n\n", [b""]),
        (b"data:\n\n", [b""]),
        (b": comment\n\n: OPENROUTER PROCESSING\n\ndata: a\n\n", [b"a"]),
        (b"data: a\n: between\ndata: b\n\n", [b"a\nb"]),
        (b"\n\n\n\r\n\r\r\ndata: a\n\n\n\n", [b"a"]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [Event("error", b"a"), b"b"]),
        (b"data: a\nevent: late\n\n", [Event("late", b"a")]),
        (b"event: ping\n\ndata: a\n\n", [b"a"]),
        (b"event:\ndata: a\n\n", [b"a"]),
        (b"id: 7\nretry: 10\nfoo: bar\nbaz\ndata: a\n\n", [b"a"]),
        (b"dataset: a\n\n", []),
        (b" data: a\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbf\ndata: a\n\n", [b"a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        ("data: \u2028 \u0085 é😀\n\n".encode(), ["\u2028 \u0085 é😀".encode()]),
        (b"data: unterminated\n", []),
        (b"", []),
    ],
)
def test_events_are_read_by_the_standard_wherever_the_bytes_are_cut(data: bytes, events: Events) -> None:
    assert read(data) == events
    assert read(*(data[at : at + 1] for at in range(len(data)))) == events
    for at in range(len(data)):
        assert read(data[:at], data[at:]) == events, at


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: [DONE]", [b"[DONE]"]),
        (b"data: [DONE]\n", [b"[DONE]"]),
        (b"data: a\ndata: b", [b"a\nb"]),
        (b"event: error\ndata: a", [Event("error", b"a")]),
        (b"data: a\nevent: error", [Event("error", b"a")]),
        (b"\xef\xbb\xbfdata: a", [b"a"]),
        (b": comment", []),
        (b"event: error", []),
    ],
)
def test_an_unterminated_last_event_is_handed_out_at_the_close(data: bytes, events: Events) -> None:
    assert read(data) == []
    assert read(data, close=True) == events


def test_looking_at_the_tail_changes_nothing() -> None:
    stream = EventStream()
    stream.feed(b"data: a")
    assert stream.tail() == b"a"
    assert stream.feed(b"b\n\n") == [b"ab"]
    assert stream.tail() is None


@pytest.mark.parametrize(
    ("data", "carries"),
    [(b"data: {", True), (b"data: a\n", True), (b": keep", False), (b"da", False), (b"data: a\n\n", False)],
)
def test_a_data_line_under_way_is_payload_and_a_comment_is_not(data: bytes, carries: bool) -> None:
    stream = EventStream()
    for at in range(len(data)):
        stream.feed(data[at : at + 1])
    assert stream.carries is carries


lines = st.sampled_from(
    [
        b"data: x",
        b"data:y",
        b"data",
        b": c",
        b"event: e",
        b"",
        b"id: 1",
        "data: é😀".encode(),
        b"\xef\xbb\xbf",
        b"zz",
    ]
)
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(lines, ends)), st.lists(st.integers(0, 200)))
def test_cuts_do_not_matter(stream: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"".join(line + end for line, end in stream)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(edges)]
    assert read(*pieces, close=True) == read(data, close=True)


@given(st.lists(st.binary(max_size=30)))
def test_foreign_bytes_never_raise(pieces: list[bytes]) -> None:
    read(*pieces, close=True)


def test_a_large_event_in_small_packets_costs_no_more_than_its_size() -> None:
    """Quadratic behaviour would take minutes here."""
    stream, packet = EventStream(), b"x" * 64
    started = time.process_time()
    stream.feed(b"data: ")
    for _ in range(200_000):
        stream.feed(packet)
    (event,) = stream.feed(b"\n\n")
    assert len(event) == 64 * 200_000
    assert time.process_time() - started < 10
