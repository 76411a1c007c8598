"""`batchllm ask`, `chat` and `providers --ping`, as a user runs them: through pipes, and at a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from batchllm import cli
from batchllm.simulator import SimulatorOptions, run_in_thread
from batchllm.simulator.faults import Faults
from batchllm.simulator.latency import Latency
from tests.conftest import Command, Ended, records

DEAD = "http://127.0.0.1:9/v1"
BOUND_S = 20.0


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InThisProcess:
    """Commands in this process: what a process of its own adds is for the terminal's tests."""
    return InThisProcess(tmp_path, monkeypatch, capsys)


class InThisProcess(Command):
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder)
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *args: str | Path, timeout: float = 60, stdin: str | bytes | None = None, **environment: str) -> Ended:
        words = [str(word) for word in args]
        data = (stdin or "").encode() if not isinstance(stdin, bytes) else stdin
        self._capsys.readouterr()
        with self._monkeypatch.context() as patch:
            patch.chdir(self.folder)
            for name in os.environ.keys() - self.environment.keys():
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["batchllm", *words])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
            try:
                code = cli.main(words)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        out, err = self._capsys.readouterr()
        return Ended(code, out, err)


def hosted(**options: object) -> Iterator[str]:
    with run_in_thread(SimulatorOptions(seed=1, **options)) as simulator:  # type: ignore[arg-type]
        yield simulator.base_url


@pytest.fixture(scope="module")
def thinking() -> Iterator[str]:
    """An endpoint that shows its reasoning and speaks slowly enough to be interrupted."""
    yield from hosted(reasoning="reasoning_content", reasoning_words=6, answer_words=400, latency=Latency(per_token_s=0.01))


@pytest.fixture(scope="module")
def empty_account() -> Iterator[str]:
    yield from hosted(account="no_credit")


def answer_of(command: InThisProcess, *args: str, stdin: str = "") -> str:
    ended = command("ask", *args, stdin=stdin)
    assert ended.code == 0, ended.err
    return ended.out


# -- ask ----------------------------------------------------------------------------------------------------------------


def test_ask_prints_the_answer_and_nothing_else(command: InThisProcess, simulator: str) -> None:
    ended = command("ask", "Name", "three rivers.", "--base-url", simulator, "--model", "m", stdin="")
    assert (ended.code, ended.err) == (0, "")
    record = json.loads(command("ask", "Name three rivers.", "--base-url", simulator, "--model", "m", "--json", stdin="").out)
    assert ended.out == record["response"]["body"]["choices"][0]["message"]["content"] + "\n"


def test_ask_reads_a_pipe_and_puts_it_behind_the_prompt(command: InThisProcess, simulator: str) -> None:
    base = ("--base-url", simulator, "--model", "m")
    assert answer_of(command, *base, stdin="hi\n") == answer_of(command, "hi", *base)
    assert answer_of(command, "Summarise:", *base, stdin="a\nb\n") == answer_of(command, "Summarise:\n\na\nb", *base)


def test_ask_without_a_prompt_or_with_bytes_that_are_no_text_is_refused(command: InThisProcess, simulator: str) -> None:
    ended = command("ask", "--base-url", simulator, "--model", "m", stdin="")
    assert (ended.code, ended.out) == (2, "")
    assert "no prompt" in ended.err
    bad = command("ask", "--base-url", simulator, "--model", "m", stdin=b"ok \xff")
    assert bad.code == 2
    assert "not valid UTF-8 at byte 4" in bad.err


def test_ask_says_that_the_simulator_is_one(command: InThisProcess) -> None:
    ended = command("ask", "hi", "--provider", "simulator", "--model", "m", stdin="")
    assert ended.code == 0
    assert "SIMULATED" in ended.err
    assert "SIMULATED" not in ended.out


def test_ask_checks_answers_against_a_schema_and_sends_fields_that_are_set(command: InThisProcess, simulator: str) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    (command.folder / "s.json").write_text(json.dumps(schema))
    base = ("--base-url", simulator, "--model", "m", "--json")
    record = json.loads(answer_of(command, "hi", *base, "--schema", "s.json"))
    assert set(record["batchllm"]["parsed"]) >= {"ok"}
    cut = command("ask", "hi", *base, "--set", "max_tokens=3", stdin="")
    assert cut.code == 1
    assert json.loads(cut.out)["error"]["code"] == "truncated"


def test_ask_asks_other_endpoints_too(command: InThisProcess, simulator: str) -> None:
    (command.folder / "batchllm.toml").write_text('url = "/v1/embeddings"\n')
    body = json.loads(answer_of(command, "hi", "--base-url", simulator, "--model", "m"))
    assert body["data"][0]["embedding"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--base-url", DEAD, "--model", "m"), 69, "connection"),
        (("--base-url", DEAD), 2, "model"),
        (("--model", "m"), 2, "--provider"),
        (("--base-url", DEAD, "--model", "m", "--set", "messages=[]"), 2, "--set"),
    ],
)
def test_ask_ends_with_the_code_that_says_why(command: InThisProcess, args: tuple[str, ...], code: int, words: str) -> None:
    ended = command("ask", "hi", *args, stdin="")
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_ask_without_credit_ends_with_77_and_keeps_the_record(command: InThisProcess, empty_account: str) -> None:
    ended = command("ask", "hi", "--base-url", empty_account, "--model", "m", "--json", stdin="")
    assert ended.code == 77
    assert json.loads(ended.out)["error"]["code"] == "quota_exhausted"


def test_ask_bears_a_short_wait_and_says_so(command: InThisProcess) -> None:
    for base_url in hosted(faults=Faults(rate_limit=1.0), fault_attempts=1, retry_after_s=0.01):
        ended = command("ask", "hi", "--base-url", base_url, "--model", "m")
        assert ended.code == 0
        assert "asking again" in ended.err


def test_ask_tells_a_long_wait_instead_of_sitting_it_out(command: InThisProcess) -> None:
    for base_url in hosted(faults=Faults(rate_limit=1.0), retry_after_s=300.0):
        ended = command("ask", "hi", "--base-url", base_url, "--model", "m")
        assert (ended.code, ended.out) == (75, "")
        assert "asks to wait 3" in ended.err


# -- a script of turns ----------------------------------------------------------------------------------------------------


def test_each_line_of_a_script_is_a_turn_and_only_answers_go_to_stdout(command: InThisProcess, simulator: str) -> None:
    script = "hello\n\n/set temperature 0.5\nand you?\n/usage\n/save talk.jsonl\n/exit\nnever said\n"
    ended = command("chat", "--base-url", simulator, "--model", "m", "--system", "Be brief.", stdin=script)
    assert ended.code == 0, ended.err
    (line,) = records(command.folder / "talk.jsonl")
    contents = [message["content"] for message in line["body"]["messages"]]
    assert contents == ["Be brief.", "hello", contents[2], "and you?"]
    assert ended.out == f"{contents[2]}\n{line['metadata']['answer']}\n"
    assert line["body"]["temperature"] == 0.5
    assert "prompt" in ended.err


def test_a_saved_line_is_private_appended_and_can_be_run(command: InThisProcess, simulator: str) -> None:
    (command.folder / "torn.jsonl").write_text('{"prompt": "x", "custom_id": "a"}')
    base = ("--base-url", simulator, "--model", "m")
    ended = command("chat", *base, stdin="hello\n/save new.jsonl\n/save torn.jsonl\n/save nowhere/x.jsonl\n")
    assert ended.code == 1
    assert "nowhere/x.jsonl" in ended.err
    assert (command.folder / "new.jsonl").stat().st_mode & 0o777 == 0o600
    assert len(records(command.folder / "torn.jsonl")) == 2
    again = command("run", "new.jsonl", *base, "--json")
    assert (again.code, again.summary["request_counts"]["completed"]) == (0, 1)


def test_an_error_is_one_sentence_and_the_session_goes_on(command: InThisProcess) -> None:
    ended = command("chat", "--base-url", DEAD, "--model", "m", stdin="one\n/nonsense\n/params\n")
    assert (ended.code, ended.out) == (69, "")
    sentences = ended.err.splitlines()
    assert "connection" in sentences[0]
    assert "no command /nonsense" in sentences[1]
    assert sentences[2] == 'model = "m"'


def test_a_conversation_needs_an_endpoint_that_talks(command: InThisProcess, simulator: str) -> None:
    (command.folder / "batchllm.toml").write_text('url = "/v1/embeddings"\n')
    ended = command("chat", "--base-url", simulator, "--model", "m", stdin="hi\n")
    assert ended.code == 2
    assert "/v1/chat/completions" in ended.err


def test_reasoning_is_no_part_of_what_a_pipe_gets(command: InThisProcess, thinking: str) -> None:
    ended = command("chat", "--base-url", thinking, "--model", "m", "--set", "max_tokens=40", stdin="hi\n/save x.jsonl\n")
    (line,) = records(command.folder / "x.jsonl")
    assert ended.out == line["metadata"]["answer"] + "\n"
    assert "\x1b" not in ended.out


# -- at a terminal --------------------------------------------------------------------------------------------------------


class Terminal:
    """`batchllm` with a terminal of its own: what it shows is waited for, never slept for."""

    # The session's leader takes the terminal as its own, so that a typed Ctrl-C is a signal.
    _TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"

    def __init__(self, command: InThisProcess, *args: str) -> None:
        self._master, slave = pty.openpty()
        self._seen = b""
        words = [sys.executable, "-m", "batchllm", *args]
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._TAKE, *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            cwd=command.folder, env={**command.environment, "TERM": "xterm"},
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def until(self, words: str) -> str:
        """Everything shown up to these words."""
        end = time.monotonic() + BOUND_S
        while words.encode() not in self._seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._master], [], [], left)[0]:
                raise AssertionError(f"{words!r} never came; shown was {self._seen.decode(errors='replace')!r}")
            self._seen += os.read(self._master, 65536)
        before, found, self._seen = self._seen.partition(words.encode())
        return (before + found).decode(errors="replace")

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupts(self, words: str) -> None:
        """Ctrl-C, and again where nothing is shown for it: CPython misses one that comes just before it waits for a key."""
        end = time.monotonic() + BOUND_S
        self.types("\x03")
        while words.encode() not in self._seen and time.monotonic() < end:
            if select.select([self._master], [], [], 1.0)[0]:
                self._seen += os.read(self._master, 65536)
            else:
                self.types("\x03")
        self.until(words)

    def ends(self) -> int:
        return self._process.wait(BOUND_S)


PROMPT = "> "


def test_a_terminal_shows_reasoning_dimmed_streams_and_ends_at_ctrl_d(command: InThisProcess, thinking: str) -> None:
    with Terminal(command, "chat", "--base-url", thinking, "--model", "m", "--set", "max_tokens=30") as terminal:
        assert "/help" in terminal.until(PROMPT)
        terminal.types("hello\n")
        shown = terminal.until(PROMPT)
        assert shown.count("\x1b[2m") > 1, "it came in one piece"
        assert "\x1b[0m\r\n\r\n" in shown
        terminal.types("\x04")
        assert terminal.ends() == 0


def test_ctrl_c_stops_the_answer_and_keeps_what_was_shown(command: InThisProcess, thinking: str) -> None:
    with Terminal(command, "chat", "--base-url", thinking, "--model", "m") as terminal:
        terminal.until(PROMPT)
        terminal.types("tell me\n")
        terminal.until("\x1b[0m\r\n\r\n")
        terminal.until(" ")
        terminal.types("\x03")
        assert "stopped" in terminal.until(PROMPT)
        terminal.types("/params\n")
        assert "1 turn remembered" in terminal.until("remembered")
        terminal.until(PROMPT)
        terminal.types("/exit\n")
        assert terminal.ends() == 0


def test_ctrl_c_at_the_prompt_throws_the_line_away(command: InThisProcess, simulator: str) -> None:
    with Terminal(command, "chat", "--base-url", simulator, "--model", "m") as terminal:
        terminal.until(PROMPT)
        terminal.types("half a quest")
        terminal.until("quest")
        terminal.interrupts(PROMPT)
        terminal.types("/params\n")
        assert "0 turns remembered" in terminal.until("remembered")
        terminal.until(PROMPT)
        terminal.types("\x04")
        assert terminal.ends() == 0


# -- ping -----------------------------------------------------------------------------------------------------------------


def test_ping_finds_out_what_works_with_five_requests(command: InThisProcess, thinking: str) -> None:
    ended = command("providers", "--ping", "--base-url", thinking, "--json")
    assert ended.code == 0, ended.err
    found = ended.summary
    assert (found["requests"], found["model"]) == (5, "simulated-1")
    good = "reachable, models, key, chat, usage, streaming, usage in streams, json_schema, json_object, reasoning"
    assert {name: check["ok"] for name, check in found["checks"].items()} == dict.fromkeys(good.split(", "), True)
    assert "reasoning_content" in found["checks"]["reasoning"]["words"]


def test_ping_asks_nothing_more_where_nobody_is_there(command: InThisProcess) -> None:
    ended = command("providers", "--ping", "--base-url", DEAD)
    assert ended.code == 69
    assert "✗ reachable" in ended.out
    assert "1 request\n" in ended.out


def test_ping_repeats_the_servers_own_no(command: InThisProcess, empty_account: str) -> None:
    ended = command("providers", "--ping", "--base-url", empty_account)
    assert ended.code == 1
    assert "✗ chat" in ended.out
    assert "quota" in ended.out


def test_ping_tells_a_refused_key_from_the_rest_and_never_shows_it(command: InThisProcess) -> None:
    for base_url in hosted(account="bad_key"):
        ended = command("providers", "--ping", "--base-url", base_url, OPENAI_API_KEY="sk-canary-1234567890")
        assert ended.code == 77
        assert "✗ key" in ended.out
        assert "$OPENAI_API_KEY" in ended.out
        assert "canary" not in ended.out + ended.err


def test_the_list_has_each_providers_address_key_and_limits_and_its_quirks_by_name(command: InThisProcess) -> None:
    rows = {row.split()[0]: row for row in command("providers").out.splitlines() if row}
    assert {"openai", "azure", "dashscope", "dashscope-intl", "siliconflow", "modelscope", "deepseek", "zhipu", "moonshot",
            "volcengine", "openrouter", "groq", "together", "mistral", "gemini", "vllm", "sglang", "ollama", "llamacpp",
            "lmdeploy", "lmstudio", "transformers", "litellm"} <= rows.keys()  # fmt: skip
    for said in ("DASHSCOPE_API_KEY", "none", "https://dashscope.aliyuncs.com/compatible-mode/v1"):
        assert said in rows["dashscope"]
    assert "x-ratelimit" in rows["groq"]
    told = command("providers", "dashscope").out
    assert "not told: refusals teach the rate" in told
    assert "insufficient_quota is tokens per minute" in told


def test_own_providers_are_listed_and_pinged_by_name(command: InThisProcess, simulator: str) -> None:
    (command.folder / "batchllm.toml").write_text(f'[providers.mine]\nbase_url = "{simulator}"\n[providers.bad]\nauht = "x"\n')
    listed = command("providers")
    assert listed.code == 0
    assert simulator in listed.out
    assert "[providers.bad]" in listed.err
    assert command("providers", "mine").code == 0
    assert command("providers", "--ping", "mine", "--json").summary["provider"] == "mine"


def test_a_provider_nobody_knows_is_refused_with_the_nearest(command: InThisProcess) -> None:
    ended = command("providers", "--ping", "deepsek")
    assert ended.code == 2
    assert "deepseek" in ended.err


def test_what_only_a_ping_can_use_is_not_ignored_without_one(command: InThisProcess) -> None:
    ended = command("providers", "--base-url", DEAD)
    assert ended.code == 2
    assert "--ping" in ended.err
