"""Rows I1 to I13: whatever stands in a job, each line is answered or told apart, and nothing ends in a traceback."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Commands
from tests.faultserver import FaultServer, run_in_thread
from tests.faultserver.script import Script


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with run_in_thread(Script()) as serving:
        yield serving


@pytest.fixture
def command(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(tmp_path, server.base_url, monkeypatch, capsys)


def line(custom_id: str, **more: Any) -> bytes:
    return as_line({"custom_id": custom_id, "prompt": f"say {custom_id}", **more})


def as_line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode()


A, B, C = line("a"), line("b"), line("c")


@dataclass(frozen=True)
class Input:
    """A job's bytes; which lines are answered, and of which line numbers what is said."""

    id: str
    data: bytes
    answered: str = "ab"
    bad: tuple[tuple[int, str], ...] = ()
    settings: str = ""


def short(key: str, value: Any) -> bytes:
    return as_line({"custom_id": "x", "prompt": "say x", key: value})


def body(**values: Any) -> bytes:
    return json.dumps({"custom_id": "x", "body": {"messages": [{"role": "user", "content": "hi"}], **values}}).encode()


def nested(depth: int, before: bytes, after: bytes) -> bytes:
    """A request that holds a value of this depth."""
    inner = before * depth + after * depth if before == b"[" else before * depth + b"1" + b"}" * depth
    return body(options="@").replace(b'"@"', inner)


def bad_second(id_: str, data: bytes, words: str) -> Input:
    """A bad line between two good ones."""
    return Input(id_, A + b"\n" + data + b"\n" + B + b"\n", bad=((2, words),))


ENDPOINT_WORDS = "may not stand in a job line"
FORBIDDEN = ("api_key", "base_url", "api_base", "headers", "extra_headers", "authorization", "organization")

INPUTS = (
    Input("I1-bom", b"\xef\xbb\xbf" + A + b"\n" + B + b"\n"),
    Input("I1-bom-alone-and-a-line", b"\xef\xbb\xbf\n" + A + b"\n" + B),
    bad_second("I1-bom-in-the-midst", b"\xef\xbb\xbf" + C, "not valid JSON"),
    Input("I2-crlf", A + b"\r\n" + B + b"\r\n"),
    Input("I2-blank-lines", b"\n\n" + A + b"\n \t \r\n\n" + B + b"\n\n"),
    Input("I2-no-final-newline", A + b"\n" + B),
    bad_second("I3-invalid-utf-8", line("c").replace(b"say", b"\xff\xfe"), "UTF-8 at byte"),
    bad_second("I3-cut-utf-8", b'{"prompt": "K\xc3', "UTF-8 at byte"),
    bad_second("I3-overlong-utf-8", b'{"prompt": "\xc0\xaf"}', "UTF-8 at byte"),
    bad_second("I3-nul-bytes", b"\x00" * 100, "not valid JSON"),
    bad_second("I5-a-line-above-the-cap", line("x", note="y" * 5000), "above sizes.line"),
    Input("I5-last-line-above-the-cap", A + b"\n" + B + b"\n" + b"z" * 9000, bad=((3, "above sizes.line"),)),
    bad_second("I6-duplicate-id", A, "already taken by line 1"),
    Input(
        "I6-duplicate-of-a-made-up-id",
        b'{"prompt": "one"}\n' + line("line-1"),
        answered="line-1",
        bad=((2, "taken by line 1"),),
    ),
    bad_second("I7-id-is-a-number", short("custom_id", 7), "'custom_id' is 7"),
    bad_second("I7-id-is-empty", short("custom_id", ""), "'custom_id' is ''"),
    bad_second("I7-prompt-is-a-number", short("prompt", 7), "'prompt' must be a text"),
    bad_second("I7-prompt-is-null", short("prompt", None), "'prompt' must be a text"),
    bad_second("I7-no-prompt", b'{"custom_id": "x"}', "neither 'prompt' nor 'messages'"),
    bad_second("I7-messages-is-text", b'{"messages": "hi"}', "messages"),
    bad_second("I7-messages-is-empty", b'{"messages": []}', "messages"),
    bad_second("I7-a-message-is-text", b'{"messages": ["hi"]}', "Message 1 must"),
    bad_second("I7-body-is-a-list", b'{"body": []}', "'body' must be an object"),
    bad_second("I7-metadata-is-text", short("metadata", "x"), "'metadata' must be an object"),
    bad_second("I7-url-is-a-number", short("url", 7), "'url' is 7"),
    bad_second("I7-url-is-unknown", short("url", "/v1/nothing"), "/v1/nothing"),
    bad_second("I7-method-is-get", short("method", "GET"), "only POST"),
    bad_second("I7-schema-is-unknown", short("schema", "nope"), "[schemas]"),
    bad_second("I7-model-is-a-number", body(model=7), "model"),
    bad_second("I7-a-list", b"[1, 2]", "JSON array"),
    bad_second("I7-a-number", b"17", "JSON number"),
    bad_second("I7-null", b"null", "JSON null"),
    bad_second("I7-no-json", b"hello", "not valid JSON"),
    bad_second("I7-two-documents", A + B, "not valid JSON"),
    bad_second("I7-nan", b'{"prompt": "x", "temperature": NaN}', "not valid JSON"),
    bad_second("I7-deep", b"[" * 100_000, "not valid JSON"),
    bad_second("I7-deep-and-closed", b'{"prompt": "x", "n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not valid JSON"),
    *(bad_second(f"I7-nested-{depth}-lists", nested(depth, b"[", b"]"), "nested") for depth in (300, 500, 900)),
    *(bad_second(f"I7-nested-{depth}-lists", nested(depth, b"[", b"]"), "") for depth in (1000, 1030, 1100)),
    *(bad_second(f"I7-nested-{depth}-objects", nested(depth, b'{"a":', b"}"), "nested") for depth in (300, 500, 900)),
    bad_second("I7-beside-body", b'{"body": {"messages": []}, "temperature": 1}', "'temperature' stands beside 'body'"),
    Input("I7-lone-surrogate", line("a").replace(b"say a", b"say \\ud800 a") + b"\n" + B),
    Input(
        "I7-lone-surrogate-in-metadata",
        as_line({"custom_id": "a", "prompt": "a", "metadata": {"@": 1}}).replace(b"@", b"\\udfff") + b"\n" + B,
    ),
    Input(
        "I7-lone-surrogate-in-the-id", as_line({"custom_id": "@", "prompt": "a"}).replace(b"@", b"\\ud800"), answered="\ud800"
    ),
    Input(
        "I7-lone-surrogate-in-a-bad-line",
        A + b"\n" + as_line({"custom_id": "@", "n": 1}).replace(b"@", b"\\ud800") + b"\n" + B,
        bad=((2, "neither"),),
    ),
    bad_second("I7-integer-of-5000-digits", body(seed=0).replace(b'"seed": 0', b'"seed": ' + b"9" * 5000), "not valid JSON"),
    Input("I7-integer-of-300-digits", line("a")[:-1] + b', "seed": ' + b"9" * 300 + b"}\n" + B),
    *(bad_second(f"I13-{key}", short(key, "https://evil.example/v1"), ENDPOINT_WORDS) for key in FORBIDDEN),
    *(bad_second(f"I13-{key}-in-body", body(**{key: "x"}), ENDPOINT_WORDS) for key in FORBIDDEN),
    *(bad_second(f"I13-{key}-deep", body(options={"more": [{"x": {key: "x"}}]}), ENDPOINT_WORDS) for key in FORBIDDEN),
    bad_second("I13-case", body(API_Key="x"), ENDPOINT_WORDS),
    bad_second("I13-url-with-a-host", short("url", "https://evil.example/v1/chat/completions"), "evil.example"),
    bad_second("I13-url-with-two-slashes", short("url", "//evil.example/v1/chat/completions"), "evil.example"),
    bad_second("I13-url-with-dots", short("url", "/v1/../admin"), "/v1/../admin"),
)


@pytest.mark.parametrize("given", INPUTS, ids=lambda given: given.id)
def test_good_lines_are_answered_and_bad_ones_told(given: Input, command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    job.write_bytes(given.data)
    (command.folder / "job.toml").write_text("[sizes]\nline = 4096\n" if "cap" in given.id else "")
    ended = command("run", job)
    expected = [given.answered] if given.answered not in ("ab",) else ["a", "b"]
    assert ended.answered == expected, ended.err
    assert ended.code == (1 if given.bad else 0)
    assert len(server.calls) == len(expected)
    failed = ended.failed
    assert set(failed) == {number for number, _ in given.bad}
    for number, words in given.bad:
        assert words in failed[number]
        assert f"line {number}: " in ended.err


@pytest.mark.parametrize("given", [one for one in INPUTS if one.bad][:3], ids=lambda given: given.id)
def test_strict_sends_nothing_i12(given: Input, command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    job.write_bytes(given.data)
    ended = command("run", job, "--strict")
    assert ended.code == 65
    assert f"line {given.bad[0][0]}" in ended.err
    assert not server.requests


@pytest.mark.parametrize("given", [one for one in INPUTS if one.bad][::6], ids=lambda given: given.id)
def test_bad_lines_are_told_before_anything_is_sent_i12(given: Input, command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    job.write_bytes(given.data)
    (command.folder / "job.toml").write_text("[sizes]\nline = 4096\n" if "cap" in given.id else "")
    ended = command("check", job)
    assert ended.code == 1
    assert f"line {given.bad[0][0]}: " in ended.err
    told = json.loads(command("check", job, "--json").out)
    assert [one["line"] for one in told["bad"]] == [number for number, _ in given.bad]
    assert not server.requests


class Unusable:
    """Files of which nothing can be sent: exit 65 and a sentence."""

    @staticmethod
    def absent(job: Path) -> str:
        return "there is no such file"

    @staticmethod
    def empty(job: Path) -> str:
        job.write_bytes(b"")
        return "it is empty"

    @staticmethod
    def blank(job: Path) -> str:
        job.write_bytes(b"\n \n\n")
        return "it is empty"

    @staticmethod
    def folder(job: Path) -> str:
        job.mkdir()
        return "is a folder"

    @staticmethod
    def pipe(job: Path) -> str:
        os.mkfifo(job)
        return "can be read only once"

    @staticmethod
    def utf_16(job: Path) -> str:
        job.write_bytes((A + b"\n").decode().encode("utf-16"))
        return "UTF-16"

    @staticmethod
    def utf_16_big(job: Path) -> str:
        job.write_bytes(b"\xfe\xff" + (A + b"\n").decode().encode("utf-16-be"))
        return "UTF-16"

    @staticmethod
    def all_bad(job: Path) -> str:
        job.write_bytes(b"nope\n17\n")
        return "line 1: not valid JSON"


UNUSABLE = {
    "I2-absent": Unusable.absent,
    "I2-empty": Unusable.empty,
    "I2-blank": Unusable.blank,
    "I2-folder": Unusable.folder,
    "I10-pipe": Unusable.pipe,
    "I4-utf-16-le": Unusable.utf_16,
    "I4-utf-16-be": Unusable.utf_16_big,
    "I7-all-bad": Unusable.all_bad,
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_file_without_a_usable_line_is_refused(name: str, command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    words = UNUSABLE[name](job)
    ended = command("run", job)
    assert ended.code == 65
    assert words in ended.err
    assert str(job.name) in ended.err
    assert not server.requests
    assert not ended.folder.exists(), "a run that never began leaves nothing behind"


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def mangled() -> bytes:
    data = bytearray(packed(b"\n".join(line(f"{number}") for number in range(2000))))
    data[200:300] = b"\xff" * 100
    return bytes(data)


GZIPPED: dict[str, tuple[bytes, str | None]] = {
    "I11-whole": (packed(A + b"\n" + B), None),
    "I11-concatenated": (packed(A + b"\n") + packed(B + b"\n"), None),
    "I11-truncated": (packed(b"\n".join(line(f"{number}") for number in range(9000)))[:-2000], "damaged after line"),
    "I11-garbage-behind": (packed(A + b"\n") + b"garbage", "damaged after line"),
    "I11-zeros-behind": (packed(A + b"\n" + B + b"\n") + bytes(512), None),
    "I11-no-gzip": (A + b"\n" + B, "damaged after line 0"),
    "I11-wrong-checksum": (packed(A)[:-8] + bytes(4) + packed(A)[-4:], "damaged after line"),
    "I11-mangled": (mangled(), "damaged after line"),
}


@pytest.mark.parametrize("name", GZIPPED)
def test_a_packed_job_is_read_to_its_end_before_anything_is_sent(name: str, command: Commands, server: FaultServer) -> None:
    data, words = GZIPPED[name]
    job = command.folder / "job.jsonl.gz"
    job.write_bytes(data)
    ended = command("run", job)
    if words is None:
        assert (ended.code, ended.answered) == (0, ["a", "b"])
        return
    assert ended.code == 65
    assert words in ended.err
    assert not server.requests


def test_a_line_of_100_mb_costs_no_memory_of_its_size_i5(command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    with job.open("wb") as file:
        file.write(A + b"\n" + b'{"prompt": "')
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + B + b"\n")
    before = peak_mb()
    ended = command("run", job)
    assert (ended.code, ended.answered) == (1, ["a", "b"])
    assert "above sizes.line" in ended.failed[2]
    assert peak_mb() - before < 80


def peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_file_that_grew_is_done_to_its_end_i9(command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    job.write_bytes(A + b"\n" + B)
    assert command("run", job).answered == ["a", "b"]
    job.write_bytes(A + b"\n" + B + b"\n" + C)
    ended = command("run", job)
    assert (ended.code, ended.answered) == (0, ["a", "b", "c"])
    assert sorted(request.text for request in server.calls) == ["say a", "say b", "say c"]


def test_a_changed_line_is_done_anew_and_only_that_one_i8(command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    job.write_bytes(A + b"\n" + B)
    command("run", job)
    job.write_bytes(line("a", temperature=0) + b"\n" + B)
    ended = command("run", job)
    assert (ended.code, ended.answered) == (0, ["a", "b"])
    assert len(server.calls) == 3
    assert server.calls[-1].json["temperature"] == 0


def test_the_order_of_lines_and_of_keys_is_no_change_i8(command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    job.write_bytes(A + b"\n" + B)
    command("run", job)
    job.write_bytes(B + b"\n" + b'{"prompt": "say a", "custom_id": "a"}')
    ended = command("run", job)
    assert (ended.code, ended.answered) == (0, ["a", "b"])
    assert len(server.calls) == 2


def test_removed_lines_stay_in_the_results_and_are_counted_i8(command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    job.write_bytes(A + b"\n" + B)
    command("run", job)
    job.write_bytes(B)
    ended = command("run", job)
    assert (ended.code, ended.answered) == (0, ["a", "b"])
    assert ended.summary["removed_lines"] == 1
    assert "the job no longer has" in ended.err
    assert len(server.calls) == 2


SETTINGS = {
    "I13-url-without-scheme": ('base_url = "api.example.com/v1"', "base_url"),
    "I13-url-ftp": ('base_url = "ftp://example.com/v1"', "base_url"),
    "I13-url-with-login": ('base_url = "https://me:secret@example.com/v1"', "base_url"),
    "I13-url-with-query": ('base_url = "https://example.com/v1?key=secret"', "base_url"),
    "I13-url-with-port-99999": ('base_url = "http://localhost:99999/v1"', "base_url"),
    "X19-plain-http": ('base_url = "http://api.example.com/v1"', "unencrypted"),
    "X19-plain-http-of-a-provider": (
        'provider = "mine"\n[providers.mine]\nbase_url = "http://api.example.com/v1"',
        "unencrypted",
    ),
    "I7-unknown-setting": ("concurency = 3", "did you mean 'concurrency'?"),
    "I7-wrong-type": ('concurrency = "many"', "concurrency"),
    "I7-zero-concurrency": ("concurrency = 0", "concurrency"),
    "I7-not-toml": ("a = = 3", "not valid TOML"),
    "I7-negative-timeout": ("[timeouts]\ntotal = -1", "timeouts.total"),
    "I7-unknown-provider": ('provider = "opnai"', "did you mean 'openai'?"),
    "I7-schema-absent": ('schema = "nowhere.json"', "nowhere.json"),
    "I7-schema-no-model": ('schema = "schemas.py"', "schemas.py:Model"),
    "I7-prices-wrong": ('[prices]\n"m" = {input = 1.0}', "[prices]"),
    "X2-key-in-settings": ('api_key = "sk-123"', "there is no setting 'api_key'"),
    "X2-key-in-a-provider": (
        'provider = "mine"\n[providers.mine]\nbase_url = "https://x.example/v1"\napi_key = "sk-1"',
        "api_key",
    ),
    "X3-headers-with-a-key": (
        'provider = "mine"\n[providers.mine]\nbase_url = "https://x.example/v1"\nheaders = {Authorization = "Bearer sk-1"}',
        "Authorization",
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_wrong_setting_is_refused_by_name_and_nothing_is_sent(name: str, command: Commands, server: FaultServer) -> None:
    text, words = SETTINGS[name]
    job = command.folder / "job.jsonl"
    job.write_bytes(A)
    (command.folder / "job.toml").write_text(text)
    command.base_url = None
    command.variables["OPENAI_API_KEY"] = "sk-some-key-of-nobody"
    ended = command("run", job)
    assert ended.code == 2
    assert words in ended.err
    assert not ended.folder.exists()


BAD_SCHEMAS = {
    "I7-no-json": "{",
    "I7-a-list": "[]",
    "I7-wrong-keyword": '{"type": "objekt"}',
    "I7-wrong-pattern": '{"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}',
    "X9-remote-ref": '{"$ref": "https://evil.example/schema.json"}',
    "X9-file-ref": '{"$ref": "file:///etc/passwd"}',
    "X9-nested-ref": '{"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}}',
    "X9-dangling-ref": '{"$ref": "#/$defs/nothing"}',
}


@pytest.mark.parametrize("name", BAD_SCHEMAS)
def test_a_schema_that_cannot_be_used_is_refused(name: str, command: Commands, server: FaultServer) -> None:
    job = command.folder / "job.jsonl"
    job.write_bytes(A)
    (command.folder / "bad.json").write_text(BAD_SCHEMAS[name])
    ended = command("run", job, "--schema", "bad.json")
    assert ended.code == 2
    assert "bad.json" in ended.err
    assert not server.requests


def test_zlib_is_what_unpacks_a_job_i11() -> None:
    """The table above mangles a deflate stream so that zlib itself complains, which is no OSError."""
    with pytest.raises(zlib.error):
        gzip.decompress(mangled())
