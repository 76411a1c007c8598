"""Who is told how a run ended: the real command, a listener on loopback, and what stands in the files afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.commands import Commands
from tests.unit.watching.listener import Listener, listening

SECRET = "T0PSECRETPATH"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, simulator: str) -> Commands:
    lines = ({"custom_id": f"doc-{number}", "prompt": f"Tell about {number}"} for number in range(5))
    (tmp_path / "job.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Commands(tmp_path, simulator, monkeypatch, capsys)


def told(listener: Listener) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for path, body in listener.got:
        found.setdefault(path, []).append(body)
    return found


def test_everybody_hears_the_same_end_and_no_file_or_word_holds_a_secret(commands: Commands) -> None:
    with listening(200) as listener:
        commands.variables["BATCHLLM_WEBHOOK"] = f"{listener.url}/hook/{SECRET}"
        ended = commands(
            "run", "job.jsonl", "--json", "--health-url", f"{listener.url}/ping/{SECRET}", "--metrics-file", "job.prom",
            "--on-finish", 'cat > told.json; echo "$BATCHLLM_RUN_COMPLETED $OPENAI_API_KEY$BATCHLLM_WEBHOOK." > told.txt',
        )  # fmt: skip
    assert ended.code == 0
    got = told(listener)
    assert list(got) == [f"/ping/{SECRET}/start", f"/hook/{SECRET}", f"/ping/{SECRET}"]
    hook = json.loads(got[f"/hook/{SECRET}"][0])
    assert hook["batchllm"]["request_counts"]["completed"] == 5
    assert json.loads((commands.folder / "told.json").read_bytes())["request_counts"] == hook["batchllm"]["request_counts"]
    assert (commands.folder / "told.txt").read_text() == "5 .\n"
    metrics = {sample.name: sample.value for family in text_string_to_metric_families((commands.folder / "job.prom").read_text())
               for sample in family.samples}  # fmt: skip
    assert (metrics["batchllm_run_exit_code"], metrics["batchllm_run_active"]) == (0, 0)
    assert SECRET not in ended.out + ended.err
    for path in commands.folder.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    assert ended.summary["ended"]["command"].count("--health-url URL") == 1


def test_a_run_that_is_refused_before_it_starts_is_told_as_an_end_too(commands: Commands) -> None:
    (commands.folder / "job.jsonl").write_text("not json\n")
    with listening(200) as listener:
        ended = commands("run", "job.jsonl", "--webhook", f"{listener.url}/hook", "--health-url", f"{listener.url}/ping",
                         "--on-finish", 'echo "$BATCHLLM_RUN_EXIT_CODE" > told.txt')  # fmt: skip
    assert ended.code == 65
    assert "no usable line" in ended.err
    got = told(listener)
    assert list(got) == ["/hook", "/ping/65"]
    assert "no usable line" in json.loads(got["/hook"][0])["text"]
    assert (commands.folder / "told.txt").read_text() == "65\n"


def test_who_cannot_be_told_is_a_notice_and_the_exit_code_stays(commands: Commands) -> None:
    with listening(404) as listener:
        ended = commands("run", "job.jsonl", "--webhook", f"{listener.url}/{SECRET}", "--health-url", f"{listener.url}/{SECRET}",
                         "--on-finish", "exit 3", "--metrics-file", "no/such/folder/x.prom")  # fmt: skip
    assert ended.code == 0
    for sentence in ("webhook was not told", "health check was not told of the start", "health check was not told of the end",
                     "on_finish ended with exit code 3", "metrics file no/such/folder/x.prom cannot be written"):  # fmt: skip
        assert sentence in ended.err, sentence
    assert SECRET not in ended.err


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"ftp://example.com/{SECRET}", "this is no URL"),
        (SECRET, "this is no URL"),
        (f"http://hooks.example.com/{SECRET}", "unencrypted"),
        (f"https://user:{SECRET}@example.com/", "user name or password"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(commands: Commands, url: str, why: str) -> None:
    for option in ("--webhook", "--health-url"):
        ended = commands("run", "job.jsonl", option, url)
        assert ended.code == 2
        assert why in ended.err
        assert SECRET not in ended.err
    assert not (commands.folder / "out").exists()


def test_a_dry_run_tells_nobody(commands: Commands) -> None:
    with listening(200) as listener:
        assert commands("run", "job.jsonl", "--dry-run", "--webhook", listener.url, "--on-finish", "touch told.txt").code == 0
    assert listener.got == []
    assert not (commands.folder / "told.txt").exists()


def test_spans_of_a_run_reach_a_collector_by_the_environments_word(commands: Commands) -> None:
    with listening(200) as listener:
        commands.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = listener.url
        assert commands("run", "job.jsonl", "--otel").code == 0
    got = told(listener)
    assert set(got) == {"/v1/traces", "/v1/metrics"}
    sent = b"".join(got["/v1/traces"])
    assert sent.count(b"gen_ai.request.model") == 5
    assert b"Tell about" not in sent
