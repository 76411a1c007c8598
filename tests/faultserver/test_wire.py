"""Steps become bytes and pauses purely."""

from __future__ import annotations

import zlib

import pytest

from tests import faultserver as fs


def test_a_step_is_whole_only_if_its_last_byte_is_sent() -> None:
    step = fs.ok_chat()
    size = len(fs.wire_bytes(step))
    assert [fs.is_whole(fs.cut(step, at)) for at in (size - 1, size)] == [False, True]
    assert not fs.is_whole(fs.cut(fs.endless(), 10**9))
    with pytest.raises(ValueError, match="endless"):
        fs.wire_bytes(fs.endless())


def test_a_drip_pauses_before_every_bite() -> None:
    pieces = list(fs.program(fs.drip(fs.raw(b"abcde"), 2, 0.5)))
    assert pieces == [fs.Pause(0.5), b"ab", fs.Pause(0.5), b"cd", fs.Pause(0.5), b"e"]


def test_a_gzip_bomb_is_small_and_valid() -> None:
    packed = fs.wire_bytes(fs.gzip_bomb(8)).partition(b"\r\n\r\n")[2]
    assert len(packed) < 16_000
    assert zlib.decompress(packed, 31) == bytes(8 << 20)


def test_headers_know_the_time() -> None:
    assert fs.fill("{date+2}", 10, "") == "Thu, 01 Jan 1970 00:00:12 GMT"
    assert fs.fill("{epoch-1} {rfc3339} {elsewhere}/x {y}", 10, "h") == "9 1970-01-01T00:00:10Z h/x {y}"
