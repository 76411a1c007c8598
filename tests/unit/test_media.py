"""Local files of a request: which may be read, and what of them is sent (X6)."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.media import local_paths, with_media
from batchllm.media_files import Media, MediaError, missing, read_beneath, sniffed


def png(width: int = 2, height: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x7f\x00\xff" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "scans").mkdir(parents=True)
    (folder / "scans/1.png").write_bytes(png())
    (folder / "a.wav").write_bytes(WAV)
    (tmp_path / "secret.png").write_bytes(png())
    return folder


def image(url: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}]}]}


def sound(data: str, **more: Any) -> dict[str, Any]:
    part = {"type": "input_audio", "input_audio": {"data": data, **more}}
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "hear"}, part]}]}


@pytest.mark.parametrize(
    "url", ["https://example.org/1.png", "HTTP://x/y", "data:image/png;base64,AAAA", "gs://b/1.png", "oss://b/1", "A" * 2000]
)
def test_what_is_no_local_file_passes_through_untouched(url: str, root: Path) -> None:
    body = image(url)
    assert local_paths(body, Media()) == ()
    assert with_media(body, Media(root)) == (body, [])


@pytest.mark.parametrize("url", ["scans/1.png", "./scans/1.png", "file:scans/1.png", "FILE:scans/1.png", "scans//1.png"])
def test_a_relative_path_or_a_file_url_is_read_below_the_root(url: str, root: Path) -> None:
    assert local_paths(image(url), Media(root)) == ("scans/1.png",)


def test_an_absolute_file_url_counts_if_it_lies_below_the_root(root: Path) -> None:
    assert local_paths(image(f"file://{root}/scans/1.png"), Media(root)) == ("scans/1.png",)


@pytest.mark.parametrize("url", ["scans/1.png", "file:scans/1.png", "file:///etc/passwd", "/etc/passwd"])
def test_without_a_media_root_no_file_is_read(url: str) -> None:
    with pytest.raises(MediaError, match="--media-root"):
        local_paths(image(url), Media())


@pytest.mark.parametrize(
    "url",
    ["../secret.png", "scans/../../secret.png", "/etc/passwd", "file:///etc/passwd", "file:../secret.png",
     "file:%2e%2e/secret.png", "file://host/scans/1.png", "file:scans/1.png?x", "scans/1.png\0.jpg", ".", "file:", "./"],
)  # fmt: skip
def test_a_path_out_of_the_root_is_refused(url: str, root: Path) -> None:
    with pytest.raises(MediaError):
        local_paths(image(url), Media(root))


def test_a_symlinked_file_is_refused(root: Path) -> None:
    (root / "link.png").symlink_to(root.parent / "secret.png")
    with pytest.raises(MediaError, match="link"):
        read_beneath(Media(root), "link.png")


def test_a_symlinked_folder_is_refused(root: Path) -> None:
    (root / "out").symlink_to(root.parent)
    with pytest.raises(MediaError, match="link"):
        read_beneath(Media(root), "out/secret.png")


def test_a_link_that_stays_inside_is_refused_too(root: Path) -> None:
    (root / "inside.png").symlink_to(root / "scans/1.png")
    with pytest.raises(MediaError, match="link"):
        read_beneath(Media(root), "inside.png")


def test_a_pipe_is_refused_without_waiting_for_its_writer(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    with pytest.raises(MediaError, match="no regular file"):
        read_beneath(Media(root), "pipe.png")


def test_a_folder_and_a_missing_file_are_refused(root: Path) -> None:
    with pytest.raises(MediaError, match="no regular file"):
        read_beneath(Media(root), "scans")
    with pytest.raises(MediaError, match="No such file"):
        read_beneath(Media(root), "scans/2.png")


def test_a_device_is_refused(root: Path) -> None:
    with pytest.raises(MediaError, match="no regular file"):
        read_beneath(Media(Path("/dev")), "null")


def test_a_file_above_the_cap_is_refused_with_its_size(root: Path) -> None:
    (root / "big.png").write_bytes(png() + bytes(5000))
    assert "above sizes.media (4,096)" in str(missing(Media(root, 4096), "big.png"))
    with pytest.raises(MediaError, match=r"above sizes\.media"):
        with_media(image("big.png"), Media(root, 4096))


def test_what_is_neither_image_nor_sound_is_refused_whatever_its_name(root: Path) -> None:
    (root / "passwd.png").write_bytes(b"root:x:0:0:root:/root:/bin/bash\n")
    assert "is no image" in str(missing(Media(root), "passwd.png"))
    with pytest.raises(MediaError, match="is no image"):
        with_media(image("passwd.png"), Media(root))


def test_a_sound_is_not_sent_as_an_image(root: Path) -> None:
    with pytest.raises(MediaError, match="where image belongs"):
        with_media(image("a.wav"), Media(root))


def test_an_image_is_sent_as_a_data_url_of_its_true_type_and_its_hash_is_told(root: Path) -> None:
    (root / "scans/wrong.jpg").write_bytes(png(3))
    made, facts = with_media(image("scans/wrong.jpg"), Media(root))
    part = made["messages"][0]["content"][0]["image_url"]
    assert part["detail"] == "low"
    assert part["url"] == "data:image/png;base64," + base64.b64encode(png(3)).decode()
    assert facts == [{"path": "scans/wrong.jpg", "sha256": hashlib.sha256(png(3)).hexdigest(), "bytes": len(png(3))}]


def test_the_given_body_keeps_its_paths(root: Path) -> None:
    body = image("scans/1.png")
    with_media(body, Media(root))
    assert body == image("scans/1.png")


def test_a_file_named_twice_is_read_and_told_once(root: Path) -> None:
    body = image("scans/1.png")
    body["messages"] *= 2
    assert local_paths(body, Media(root)) == ("scans/1.png",)
    assert len(with_media(body, Media(root))[1]) == 1


def test_sound_is_bare_base64_with_its_format_or_a_data_url_where_that_is_wanted(root: Path) -> None:
    coded = base64.b64encode(WAV).decode()
    made, _ = with_media(sound("a.wav"), Media(root))
    assert made["messages"][0]["content"][1]["input_audio"] == {"data": coded, "format": "wav"}
    made, _ = with_media(sound("file:a.wav"), Media(root, audio_as_url=True))
    assert made["messages"][0]["content"][1]["input_audio"]["data"] == f"data:;base64,{coded}"


def test_base64_sound_is_not_taken_for_a_path() -> None:
    assert local_paths(sound("UklGRiQAAABXQVZFZm10IA=="), Media()) == ()


def test_the_responses_form_of_an_image_is_read_too(root: Path) -> None:
    body = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "scans/1.png"}]}]}
    made, _ = with_media(body, Media(root))
    assert made["input"][0]["content"][0]["image_url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("head", "kind"),
    [(png()[:32], "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"GIF89a..", "image/gif"), (b"BM....", "image/bmp"),
     (b"RIFF....WEBPVP8 ", "image/webp"), (WAV[:32], "audio/wav"), (b"ID3\x04", "audio/mp3"),
     (b"\xff\xfb\x90\x00", "audio/mp3"), (b"fLaC", "audio/flac"), (b"OggS", "audio/ogg"), (b"%PDF-1.7", None), (b"", None),
     (b"\x7fELF", None), (b"#!/bin/sh", None)],
)  # fmt: skip
def test_the_type_is_what_the_bytes_say(head: bytes, kind: str | None) -> None:
    assert sniffed(head) == kind


@given(st.text(max_size=40))
def test_no_text_leads_out_of_the_root_or_raises_anything_else(value: str) -> None:
    media = Media(Path("/nowhere/media"))
    try:
        paths = local_paths(image(value), media)
    except MediaError:
        return
    for path in paths:
        assert not path.startswith("/")
        assert ".." not in Path(path).parts


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda one: st.lists(one, max_size=3) | st.dictionaries(
    st.sampled_from(["content", "image_url", "url", "input_audio", "data"]), one, max_size=3)))  # fmt: skip
def test_odd_messages_are_left_alone(messages: Any) -> None:
    try:
        local_paths({"messages": messages, "input": messages}, Media())
    except MediaError:
        return


class TestShrinking:
    def test_a_larger_image_is_shrunk_to_the_longest_side_and_its_facts_are_the_files(self, root: Path) -> None:
        pillow = pytest.importorskip("PIL.Image")
        (root / "wide.png").write_bytes(png(200, 50))
        made, facts = with_media(image("wide.png"), Media(root, image_max_px=40))
        coded = made["messages"][0]["content"][0]["image_url"]["url"].split(",")[1]
        import io

        with pillow.open(io.BytesIO(base64.b64decode(coded))) as shrunk:
            assert shrunk.size == (40, 10)
        assert facts[0]["bytes"] == len(png(200, 50))

    def test_a_small_one_is_sent_as_it_is(self, root: Path) -> None:
        pytest.importorskip("PIL.Image")
        assert with_media(image("scans/1.png"), Media(root, image_max_px=40)) == with_media(image("scans/1.png"), Media(root))

    def test_what_cannot_be_decoded_is_a_sentence(self, root: Path) -> None:
        pytest.importorskip("PIL.Image")
        (root / "broken.png").write_bytes(png()[:20])
        with pytest.raises(MediaError, match=r"broken\.png: cannot be shrunk"):
            with_media(image("broken.png"), Media(root, image_max_px=40))

    def test_an_image_of_absurd_extent_is_not_decoded(self, root: Path) -> None:
        pytest.importorskip("PIL.Image")
        bomb = bytearray(png())
        bomb[16:24] = struct.pack(">II", 50_000, 3_000)
        bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
        (root / "bomb.png").write_bytes(bytes(bomb))
        with pytest.raises(MediaError, match=r"too many|cannot be shrunk"):
            with_media(image("bomb.png"), Media(root, image_max_px=40))
