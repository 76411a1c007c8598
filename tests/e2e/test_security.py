"""Rows X1 to X20: the key stays where it belongs, foreign text stays text, a job line chooses nothing but its own request."""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import os
import re
import stat
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchllm.configuration import load
from batchllm.errors import JobError
from batchllm.redaction import Redactor
from batchllm.transports import TRANSPORTS, preferred
from tests.e2e.commands import ROOT, Commands, Ended, environment, started
from tests.e2e.trial import CANARY, canary_forms, leaks
from tests.faultserver import (
    FaultServer,
    Step,
    chunk,
    cut,
    error,
    error_body,
    framed,
    ok_chat,
    raw,
    redirect,
    run_in_thread,
    sse,
    with_headers,
)
from tests.faultserver.builders import dumps
from tests.faultserver.script import Request, Rule, Script, ScriptLike, echo
from tests.faultserver.steps import JSON_TYPE


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(tmp_path, None, monkeypatch, capsys)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with run_in_thread(Script()) as serving:
        yield serving


def job_of(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "job.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run_against(
    commands: Commands, script: ScriptLike, *lines: dict[str, Any], flags: tuple[str, ...] = ()
) -> tuple[Ended, FaultServer]:
    (commands.folder / "job.toml").write_text(
        "[retries]\nbase = 0.01\nmax_attempts = 2\nmax_pause = 5\n[sizes]\nresponse = 65536\n"
    )
    with run_in_thread(FaultServer(script)) as serving:
        commands.base_url = serving.base_url
        return commands("run", job_of(commands.folder, *(lines or ({"custom_id": "a", "prompt": "hi"},))), *flags), serving


def clean(ended: Ended) -> None:
    """No form of the key in any file of the run, on stdout or on stderr."""
    assert ended.folder.exists()
    for path in [path for path in ended.folder.rglob("*") if path.is_file()]:
        assert leaks(path.read_bytes()) == [], path.name
    assert leaks(ended.out.encode()) == []
    assert leaks(ended.err.encode()) == []


# -- X1: the key, echoed -----------------------------------------------------------------------------------------------


def form(name: str) -> str:
    return canary_forms()[name].decode()


def in_pieces(text: str) -> Step:
    return sse([text[start : start + 5] for start in range(0, len(text), 5)])


def written(text: str, status: int = 200) -> Step:
    """A reply with this text in its JSON as it stands: escapes and all."""
    body = dumps(ok_body()).replace(b"@", text.encode())
    return Step(status=status, headers=JSON_TYPE, body=(body,))


def ok_body() -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": "@"}, "finish_reason": "stop"}]}


ECHOES: dict[str, Step] = {
    **{f"content-{name}": written(form(name)) for name in canary_forms()},
    **{f"400-{name}": error(400, error_body(f"no: {form(name)}")) for name in canary_forms()},
    "content-base64-behind": ok_chat(base64.b64encode(b"Bearer " + CANARY.encode()).decode()),
    "content-end-only": ok_chat(f"a key that ends in {CANARY[-8:]}"),
    "content-html": ok_chat(CANARY.replace("&", "&amp;")),
    "content-unicode-escapes": written(CANARY.replace("/", "\\u002f").replace("+", "\\u002B")),
    "reasoning": ok_chat("ok", message={"reasoning_content": CANARY}),
    "tool-call": ok_chat(
        None, message={"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": CANARY}}]}
    ),
    "refusal": ok_chat("", message={"refusal": f"I may not say {CANARY}"}),
    "model": ok_chat("ok", model=CANARY),
    "unknown-field": ok_chat("ok", debug={"headers": {"authorization": f"Bearer {CANARY}"}}),
    "no-answer": ok_chat("", debug=CANARY),
    "401": error(401, error_body(f"Incorrect API key provided: {CANARY}", "invalid_api_key")),
    "403": error(403, error_body(f"{CANARY} may not do this")),
    "402": error(402, error_body(f"{CANARY} has no credit")),
    "404": error(404, error_body(f"no model for {CANARY}", "model_not_found")),
    "429": error(429, error_body(f"too many from {CANARY}"), ("Retry-After", "30")),
    "500": error(500, error_body(f"failed with {CANARY}")),
    "500-text": error(500, f"KeyError … Authorization: Bearer {CANARY}"),
    "500-code": error(500, error_body("failed", CANARY, CANARY)),
    "200-error": ok_chat("", error={"message": CANARY, "code": 500}),
    "html": Step(headers=(("Content-Type", "text/html"),), body=(f"<title>{CANARY}</title>".encode(),)),
    "no-json": Step(body=(f"hello {CANARY}".encode(),)),
    "headers": with_headers(ok_chat(), ("x-request-id", CANARY), ("x-echo", CANARY)),
    "redirect": redirect(307, f"http://{CANARY}.example/"),
    "redirect-path": redirect(302, f"/login?key={CANARY}"),
    "stream": sse([CANARY]),
    "stream-in-pieces": in_pieces(f"it is {CANARY}, isn't it"),
    "stream-reasoning": sse([chunk({"reasoning_content": CANARY}), "ok"]),
    "stream-error": sse(["Hel", error_body(f"bad key {CANARY}", 502)], done=False),
    "stream-cut": cut(sse([CANARY, "more", "and more"]), 260, of="body"),
    "cut": cut(framed(ok_chat(f"it is {CANARY} and more"), "length"), 160, of="body"),
    "garbage": raw(b"HTTP/1.1 nonsense " + CANARY.encode() + b"\r\n\r\n"),
    "too-large": ok_chat(CANARY * 9000),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_key_that_the_server_repeats_is_written_nowhere_x1(name: str, commands: Commands) -> None:
    stream = name.startswith("stream")
    ended, serving = run_against(
        commands, ECHOES[name], {"custom_id": "a", "prompt": "hi", "stream": stream}, flags=("--json",)
    )
    clean(ended)
    assert serving.elsewhere is not None
    assert not serving.elsewhere.requests
    assert all(request.headers["authorization"] == f"Bearer {CANARY}" for request in serving.calls)


def test_an_answer_without_the_key_is_left_as_it_is_x1(commands: Commands) -> None:
    said = "sk-canary is no key, and neither is Zt9&"
    ended, _ = run_against(commands, ok_chat(said))
    assert ended.lines("results.jsonl")[0]["response"]["body"]["choices"][0]["message"]["content"] == said


def test_a_redacted_reply_is_still_the_document_it_was_x1(commands: Commands) -> None:
    ended, _ = run_against(commands, ok_chat(f"before {CANARY} after"))
    record = ended.lines("results.jsonl")[0]
    assert record["response"]["body"]["choices"][0]["message"]["content"] == "before [key] after"
    assert record["batchllm"]["usage"]["prompt_tokens"] == 10


@pytest.mark.parametrize("key", ["EMPTY", "ollama", "token-abc", "12345678901234567890", None])
def test_a_placeholder_for_a_key_hides_nothing_x1(key: str | None) -> None:
    text = f'{{"model": "{key}", "n": 12345678901234567890}}'
    assert Redactor(key).text(text) is text


@pytest.mark.parametrize("level", ["debug", "info"])
def test_logging_says_nothing_of_the_key_x1(level: str, tmp_path: Path) -> None:
    replies = Rule((error(500, error_body(CANARY)), error(429, error_body(CANARY), ("Retry-After", "0.1")), redirect()))
    job = job_of(tmp_path, *({"custom_id": name, "prompt": name} for name in "abc"))
    with run_in_thread(Script((replies,))) as serving:
        process = started(["run", job, "-o", "out", "--log-level", level], tmp_path, environment(serving.base_url))
        out, err = process.communicate(timeout=30)
    assert leaks(out) == leaks(err) == []
    clean(Ended(process.returncode, out.decode(), err.decode(), tmp_path / "out"))


def test_a_defect_of_ours_says_nothing_of_the_key_x1(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst place for one: with the headers at hand, and their value in the exception's text."""
    module, _, name = TRANSPORTS[preferred()].partition(":")

    async def broken(self: Any, call: Any, feed: Any = None) -> Any:
        raise RuntimeError(f"cannot send {call.headers}")

    monkeypatch.setattr(f"{module}.{name}.send", broken)
    ended, _ = run_against(commands, echo, flags=("--log-level", "debug"))
    assert ended.code == 70
    clean(ended)


def test_settings_are_shown_without_the_key_x1(commands: Commands, server: FaultServer) -> None:
    commands.base_url = server.base_url
    job = job_of(commands.folder, {"prompt": "hi"})
    for argv in (("run", job, "--dry-run"), ("check", job, "--json"), ("providers",)):
        ended = commands(*argv)
        assert leaks((ended.out + ended.err).encode()) == []


@pytest.mark.parametrize("key", ["sk two words", "sk-Köln-123456789", "sk-line\nbreak-1234"])
def test_a_key_that_no_header_can_hold_is_refused_unshown_x1(key: str, commands: Commands, server: FaultServer) -> None:
    commands.base_url = server.base_url
    commands.variables["key"] = key
    ended = commands("run", job_of(commands.folder, {"prompt": "hi"}))
    assert ended.code == 2
    assert "OPENAI_API_KEY" in ended.err
    assert key not in ended.err
    assert not server.requests


# -- X2 to X5: who chooses the endpoint, and who gets the key ----------------------------------------------------------


@pytest.mark.parametrize("flag", ["--api-key", "--key", "--token"])
def test_a_key_on_the_command_line_is_refused_and_not_repeated_x2(flag: str, commands: Commands, server: FaultServer) -> None:
    commands.base_url = server.base_url
    job = job_of(commands.folder, {"prompt": "hi"})
    for argv in ((flag, CANARY), (f"{flag}={CANARY}",)):
        ended = commands("run", job, *argv)
        assert ended.code == 2
        assert leaks((ended.out + ended.err).encode()) == []
    assert not server.requests


def test_an_endpoint_of_another_origin_is_a_change_that_is_refused_x5(commands: Commands, server: FaultServer) -> None:
    ended, _ = run_against(commands, echo)
    assert ended.code == 0
    commands.base_url = server.base_url
    (commands.folder / "job.jsonl").write_text('{"custom_id": "a", "prompt": "hi"}\n{"custom_id": "b", "prompt": "new"}\n')
    refused = commands("run", commands.folder / "job.jsonl")
    assert refused.code == 65
    assert "endpoint" in refused.err
    assert not server.requests


def test_the_endpoint_is_shown_and_pinned_x5_x3(commands: Commands) -> None:
    ended, serving = run_against(commands, echo)
    assert serving.base_url in ended.err
    assert serving.base_url in (ended.folder / "job.json").read_text()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leaks_neither_key_nor_prompt_x4(status: int, commands: Commands) -> None:
    ended, serving = run_against(commands, redirect(status))
    assert ended.code == 69
    assert "localhost" in ended.err
    assert serving.elsewhere is not None
    assert not serving.elsewhere.connections


# -- X6 to X11: what a line or a schema may not do ---------------------------------------------------------------------


LOCAL = ("file:///{path}", "file://{path}", "{path}", "../{name}", "FILE://{path}", "file://localhost{path}")


@pytest.mark.parametrize("url", LOCAL)
@pytest.mark.parametrize("part", ["image_url", "input_image", "file"])
def test_a_line_reads_no_local_file_x6(url: str, part: str, commands: Commands, tmp_path: Path) -> None:
    secret = tmp_path.parent / f"{tmp_path.name}-secret.png"
    secret.write_bytes(b"\x89PNG\r\n\x1a\n" + b"TOP-SECRET" * 9)
    place = url.format(path=secret, name=secret.name)
    parts = {
        "image_url": {"type": "image_url", "image_url": {"url": place}},
        "input_image": {"type": "input_image", "image_url": place},
        "file": {"type": "file", "file": {"file_data": place, "filename": place}},
    }
    line = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, parts[part]]}]}
    ended, serving = run_against(commands, ok_chat(), line)
    sent = b"".join(request.body for request in serving.calls)
    assert b"TOP-SECRET" not in sent
    assert base64.b64encode(secret.read_bytes())[:40] not in sent
    assert ended.code in (0, 1, 65)


def test_a_remote_address_goes_through_untouched_and_unfetched_x7(commands: Commands, server: FaultServer) -> None:
    place = f"{server.origin}/cat.png"
    line = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": place}}]}]}
    ended, serving = run_against(commands, ok_chat(), line)
    assert ended.code == 0
    assert serving.calls[0].json["messages"][0]["content"][0]["image_url"]["url"] == place
    assert not server.connections


def test_a_line_executes_nothing_x8(commands: Commands) -> None:
    (commands.folder / "evil.py").write_text("import pathlib\npathlib.Path('pwned').touch()\nclass M: pass\n")
    lines = ({"custom_id": "a", "prompt": "hi", "schema": "evil.py:M"}, {"custom_id": "b", "prompt": "hi"})
    ended, serving = run_against(commands, ok_chat(), *lines)
    assert ended.code == 1
    assert not (commands.folder / "pwned").exists()
    assert len(serving.calls) == 1


def test_a_schema_fetches_nothing_x9(commands: Commands, server: FaultServer) -> None:
    commands.base_url = server.base_url
    (commands.folder / "remote.json").write_text(json.dumps({"$ref": f"{server.origin}/schema.json"}))
    ended = commands("run", job_of(commands.folder, {"prompt": "hi"}), "--schema", "remote.json")
    assert ended.code == 2
    assert not server.connections


def test_a_lines_own_schema_fetches_nothing_x9(commands: Commands, server: FaultServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": f"{server.origin}/schema.json"}}}
    ended, _ = run_against(commands, ok_chat("{}"), {"prompt": "hi", "response_format": form})
    assert ended.code in (1, 65)
    assert not server.connections


def test_a_pattern_that_backtracks_does_not_hang_the_run_x10(commands: Commands) -> None:
    (commands.folder / "slow.json").write_text(
        json.dumps({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}, "required": ["a"]})
    )
    answer = ok_chat(json.dumps({"a": "a" * 5000 + "!"}))
    begun = time.monotonic()
    ended, _ = run_against(commands, answer, flags=("--schema", "slow.json", "--reask", "0"))
    assert ended.code == 1
    assert time.monotonic() - begun < 20


def test_nothing_in_the_package_can_execute_data_x11() -> None:
    """No pickle, no marshal, no eval or exec, no shell. Two exceptions are named: a schema file is imported, and what a Ray
    cluster's own actors tell each other is pickled, by Ray as by us: it comes from no job, no reply and no file.
    """
    for path in sorted((ROOT / "batchllm").rglob("*.py")):
        if path.relative_to(ROOT).as_posix() == "batchllm/engines/ray_pool/cluster.py":
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "marshal", "shelve", "dill", "cloudpickle"} & {
                    name.partition(".")[0] for name in names
                }, path
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                assert not (isinstance(node.func, ast.Name) and called in ("eval", "exec", "compile")), path
                assert called not in ("system", "popen"), path
                assert not any(word.arg == "shell" for word in node.keywords), path


# -- X14, X15: foreign text on a terminal ------------------------------------------------------------------------------


HOSTILE = "\x1b[2J\x1b]0;pwned\x07\x9b31m \u202egnp.exe \ufeff\r\b a\nbatchllm: all is well\u2028x"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")

TOLD: dict[str, tuple[Step, dict[str, Any]]] = {
    "error-message": (error(400, error_body(HOSTILE)), {"prompt": "hi"}),
    "error-code": (error(400, error_body("no", HOSTILE, HOSTILE)), {"prompt": "hi"}),
    "401": (error(401, error_body(HOSTILE)), {"prompt": "hi"}),
    "page": (Step(status=500, body=(f"<title>{HOSTILE}</title>".encode(),)), {"prompt": "hi"}),
    "refusal": (ok_chat("", message={"refusal": HOSTILE}), {"prompt": "hi"}),
    "finish": (ok_chat("", finish_reason=HOSTILE), {"prompt": "hi"}),
    "redirect": (redirect(302, "http://\x1b[2Jevil.example/"), {"prompt": "hi"}),
    "model": (ok_chat(model=HOSTILE), {"prompt": "hi", "model": HOSTILE}),
    "custom-id": (error(400), {"custom_id": HOSTILE, "prompt": "hi"}),
    "duplicate-id": (ok_chat(), {"custom_id": HOSTILE, "prompt": "hi"}),
    "key-of-a-line": (ok_chat(), {"custom_id": "b", "body": {"messages": [{"role": "user", "content": "x"}]}, HOSTILE: 1}),
    "url": (ok_chat(), {"custom_id": "b", "prompt": "hi", "url": HOSTILE}),
    "wrong-type": (ok_chat(), {"custom_id": [HOSTILE], "prompt": "hi"}),
}


@pytest.mark.parametrize("name", TOLD)
def test_foreign_text_moves_no_cursor_and_fakes_no_line_x14_x15(name: str, commands: Commands) -> None:
    step, line = TOLD[name]
    lines = [line, line] if name == "duplicate-id" else [line]
    for quiet in ((), ("--log-level", "debug")):
        ended, _ = run_against(commands, step, *lines, flags=quiet)
        assert not UNSAFE.search(ended.err + ended.out), ascii(ended.err)
        assert not any(shown.startswith("batchllm: all is well") for shown in ended.err.splitlines())


def test_names_of_files_and_settings_are_foreign_text_too_x14(commands: Commands, server: FaultServer) -> None:
    commands.base_url = server.base_url
    ended = commands("run", commands.folder / "no\x1b[2J\nsuch.jsonl")
    assert ended.code == 65
    assert not UNSAFE.search(ended.err)
    assert len(ended.err.splitlines()) == 1


# -- X16 to X20: files, suppliers, sizes, encryption, names ------------------------------------------------------------


def test_what_is_written_is_for_its_owner_only_x16(commands: Commands) -> None:
    previous = os.umask(0)
    try:
        replies = Script((Rule((error(400), ok_chat())),))
        ended, _ = run_against(commands, replies, {"prompt": "a"}, {"prompt": "b"}, flags=("--ordered", "--concurrency", "1"))
    finally:
        os.umask(previous)
    assert stat.S_IMODE(ended.folder.stat().st_mode) == 0o700
    files = [path for path in ended.folder.rglob("*") if path.is_file()]
    assert {"results.jsonl", "errors.jsonl", "attempts.jsonl", "job.json", "summary.json"} <= {path.name for path in files}
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in files} == {path.name: 0o600 for path in files}


@pytest.mark.parametrize("name", ["results.jsonl", "attempts.jsonl", "job.json", ".lock", "summary.json", "errors.jsonl"])
def test_a_symbolic_link_in_the_folder_leads_nowhere_x16(name: str, commands: Commands) -> None:
    victim = commands.folder / "victim"
    victim.write_text("precious")
    folder = commands.folder / "out"
    folder.mkdir(mode=0o700)
    (folder / name).symlink_to(victim)
    run_against(commands, ok_chat())
    assert victim.read_text() == "precious"


def test_few_suppliers_and_none_that_shipped_a_stealer_x17() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[<>=;\[ ]", one)[0] for one in project["dependencies"]}
    assert needed <= {
        "aiohttp",
        "genai-prices",  # of pydantic's makers; needs nothing that pydantic and openai do not bring
        "httptools",  # of uvloop's makers
        "jsonschema-rs",
        "openai",
        "orjson",
        "pydantic",
        "python-dotenv",
        "tenacity",
        "tqdm",
        "uvloop",
    }


HOSTS = {
    "http://127.0.0.1:8000/v1": True, "http://localhost:8000/v1": True, "http://[::1]:8000/v1": True,
    "http://vllm:8000/v1": True,
    "http://10.1.2.3/v1": True, "http://192.168.0.9:8000/v1": True, "http://172.16.0.1/v1": True, "http://gpu.local/v1": True,
    "https://api.example.com/v1": True, "http://api.example.com/v1": False, "http://8.8.8.8/v1": False,
    "http://172.32.0.1/v1": False, "http://10.evil.example/v1": False, "http://192.168.evil.example/v1": False,
    "http://127.0.0.1.evil.example/v1": False, "http://0x7f000001.evil.example/": False, "http://134744072/v1": False,
    "HTTP://api.example.com/v1": False, "http://[2001:db8::1]/v1": False,
}  # fmt: skip


@pytest.mark.parametrize("url", HOSTS)
def test_plain_http_stays_at_home_x19(url: str, tmp_path: Path) -> None:
    if HOSTS[url]:
        assert load(flags={"base_url": url}, working_dir=tmp_path, environ={}).settings.base_url
        return
    with pytest.raises(JobError, match=r"unencrypted|base_url"):
        load(flags={"base_url": url}, working_dir=tmp_path, environ={})
    assert load(flags={"base_url": url, "insecure_http": True}, working_dir=tmp_path, environ={}).settings.base_url


NAMES = (
    "../../escaped",
    "/tmp/batchllm-escaped",
    "$(touch pwned)",
    "; touch pwned",
    "a/b/c",
    "..",
    "con",
    "`touch pwned`",
    "x\0y",
)


def test_an_id_is_never_a_path_or_a_command_x20(commands: Commands) -> None:
    before = {path for path in commands.folder.parent.iterdir() if path != commands.folder}
    ended, _ = run_against(commands, ok_chat(), *({"custom_id": name, "prompt": "hi"} for name in NAMES), flags=("--ordered",))
    assert ended.answered == sorted(NAMES)
    assert {path.name for path in commands.folder.iterdir()} == {"job.jsonl", "job.toml", "out"}
    assert {path for path in commands.folder.parent.iterdir() if path != commands.folder} == before
    assert not Path("/tmp/batchllm-escaped").exists()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the process list is read from /proc")
def test_the_key_is_in_no_process_list_x2(tmp_path: Path, server: FaultServer) -> None:
    """Neither in our own command line nor in that of a process we start (the simulator)."""
    job = job_of(tmp_path, {"prompt": "hi"})
    process = started(
        ["run", job, "-o", "out", "--provider", "simulator", "--model", "m"],
        tmp_path,
        environment(None) | {"OPENAI_API_KEY": CANARY},
    )
    seen = b""
    try:
        while process.poll() is None:
            seen += _command_lines(process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
    finally:
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"batchllm" in seen
    assert leaks(seen) == []


def _command_lines(pid: int) -> bytes:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return b"".join(Path(f"/proc/{one}/cmdline").read_bytes() for one in (pid, *children))
    except OSError:  # it ended meanwhile
        return b""


def echoing(request: Request) -> Step:
    """A server that shows everything it was sent, as debugging proxies do."""
    return ok_chat(json.dumps(dict(request.headers)))


def test_a_proxy_that_shows_all_headers_gives_nothing_away_x1(commands: Commands) -> None:
    ended, _ = run_against(commands, echoing)
    assert ended.code == 0
    clean(ended)
