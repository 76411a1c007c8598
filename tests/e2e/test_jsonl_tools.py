"""`batchllm jsonl`: each tool on files and through pipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, records
from tests.e2e.commands import Commands

JOB = [
    {"custom_id": "a", "prompt": "one", "model": "m", "metadata": {"x": 1}},
    {"custom_id": "b", "system": "s", "prompt": "two", "model": "m", "temperature": 0.5},
    {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions",
     "body": {"model": "n", "messages": [{"role": "user", "content": "three"}]}},
    {"custom_id": "d", "url": "/v1/embeddings", "input": "four", "model": "e"},
]  # fmt: skip


@pytest.fixture
def job(command: Command) -> Path:
    return command.write("job.jsonl", *JOB)


def piped(lines: list[Any]) -> str:
    return "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)


def read(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_stats_count_what_is_there(command: Command, job: Path) -> None:
    with job.open("a") as file:
        file.write('\nnonsense\n{"custom_id": "a", "prompt": "again"}\n')
    found = json.loads(command("jsonl", "stats", "--json", job).out)
    assert (found["lines"], found["bad"], found["repeated_ids"]) == (6, 1, 1)
    assert found["forms"] == {"short": 4, "batch": 1}
    assert found["models"] == {"m": 2, "n": 1, "e": 1}
    assert found["first_bad"]["line"] == 6


def test_stats_of_results_tell_outcomes_and_tokens(command: Command, simulator: str) -> None:
    command.write("job.jsonl", *JOB[:2])
    assert command("run", "job.jsonl", "--base-url", simulator, "--quiet").code == 0
    found = json.loads(command("jsonl", "stats", "--json", "outputs/job/results.jsonl").out)
    assert (found["answered"], found["failed"], found["forms"]) == (2, 0, {"result": 2})
    assert found["tokens"]["total_tokens"] > 0


def test_validate_names_each_bad_line(command: Command) -> None:
    lines = [*JOB, {"custom_id": "a", "prompt": "again"}, {"prompt": ""}, "nonsense", {"prompt": "x", "api_key": "k"}]
    ended = command("jsonl", "validate", "-", stdin=piped(lines))
    assert ended.code == 1
    assert [line.split(":")[0] for line in ended.out.splitlines()[:-1]] == ["line 5", "line 6", "line 7", "line 8"]
    assert "8 lines, 4 bad" in ended.out
    assert command("jsonl", "validate", command.write("good.jsonl", *JOB)).code == 0


def test_validate_holds_lines_to_a_schema(command: Command) -> None:
    (command.folder / "s.json").write_text(json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}}))
    ended = command("jsonl", "validate", "--as", "json", "--schema", "s.json", stdin='{"a": 1}\n{"a": "x"}\n')
    assert (ended.code, ended.out.startswith("line 2: a: ")) == (1, True)


def test_what_is_split_is_whole_again_when_merged(command: Command, job: Path) -> None:
    for how in (["--lines", "3"], ["--bytes", "200"]):
        parts = command("jsonl", "split", job, *how, "-o", "part").out.split()
        assert len(parts) >= 2
        assert command("jsonl", "merge", *parts).out == job.read_text()
    dealt = command("jsonl", "split", "--parts", "3", "-o", "dealt", stdin=job.read_text()).out.split()
    assert [len(records(command.folder / name)) for name in dealt] == [2, 1, 1]
    assert not [path for path in command.folder.iterdir() if path.name.startswith(".")]


def test_merge_refuses_an_id_that_stands_twice_and_leaves_nothing(command: Command, job: Path) -> None:
    ended = command("jsonl", "merge", job, job, "-o", "both.jsonl")
    assert ended.code == 65
    assert "job.jsonl, line 1: custom_id 'a' stands in line 1" in ended.err
    assert not (command.folder / "both.jsonl").exists()
    assert command("jsonl", "merge", job, job, "--repeated", "first").out == job.read_text()
    assert command("jsonl", "merge", job, job, "--repeated", "keep").out == job.read_text() * 2


def test_a_sample_is_the_same_for_the_same_seed(command: Command, job: Path) -> None:
    one, same = (command("jsonl", "sample", job, "-n", "2", "--seed", "3").out for _ in range(2))
    assert one == same
    assert len(one.splitlines()) == 2
    assert set(one.splitlines()) <= set(job.read_text().splitlines())


def test_diff_goes_by_id_and_names_the_fields(command: Command, job: Path) -> None:
    changed = [JOB[3], {**JOB[0], "metadata": {"x": 2}}, {"temperature": 0.5, **JOB[1]}, {"custom_id": "e", "prompt": "new"}]
    ended = command("jsonl", "diff", job, "-", "--json", stdin=piped(changed))
    assert ended.code == 1
    assert [(one["change"], one["custom_id"], one["fields"]) for one in read(ended.out)] == [
        ("changed", "a", ["metadata.x"]), ("added", "e", []), ("removed", "c", []),
    ]  # fmt: skip
    assert "1 added, 1 removed, 1 changed, 2 the same" in ended.err
    assert command("jsonl", "diff", job, job).code == 0
    assert (
        command("jsonl", "diff", job, "-", "--ignore", "metadata", stdin=piped([{**JOB[0], "metadata": 3}, *JOB[1:]])).code == 0
    )


def test_set_goes_into_the_body_where_there_is_one(command: Command, job: Path) -> None:
    ended = command("jsonl", "set", "temperature=0", "metadata.run=7", job, "--delete", "system")
    found = read(ended.out)
    assert [line.get("body", line)["temperature"] for line in found] == [0, 0, 0, 0]
    assert [line["metadata"]["run"] for line in found] == [7, 7, 7, 7]
    assert "system" not in found[1]
    assert command("jsonl", "set", "model.x=1", job).code == 65


def test_a_file_can_be_changed_in_place(command: Command, job: Path) -> None:
    assert command("jsonl", "set", "model=z", job, "-o", job).code == 0
    assert {line.get("body", line)["model"] for line in records(job)} == {"z"}
    before = job.read_bytes()
    with job.open("ab") as file:
        file.write(b"nonsense\n")
    assert command("jsonl", "set", "model=y", job, "-o", job).code == 65
    assert job.read_bytes() == before + b"nonsense\n"


def test_openai_lines_hold_what_the_batch_api_reads_and_nothing_else(command: Command, job: Path) -> None:
    ended = command("jsonl", "to-openai", job)
    found = read(ended.out)
    assert {tuple(line) for line in found} == {("custom_id", "method", "url", "body")}
    assert found[1]["body"]["messages"][0] == {"role": "system", "content": "s"}
    assert "one endpoint a file" in ended.err
    assert command("jsonl", "validate", "--as", "openai", stdin=ended.out).code == 0
    assert command("jsonl", "validate", "--as", "openai", job).code == 1


def test_lines_from_openai_and_back_ask_the_same(command: Command, job: Path) -> None:
    there = command("jsonl", "to-openai", job).out
    short = command("jsonl", "from-openai", stdin=there).out
    assert command("jsonl", "validate", stdin=short).code == 0
    assert read(command("jsonl", "to-openai", stdin=short).out) == read(there)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["stats", "nowhere.jsonl"], 65), (["sample", "job.jsonl"], 2), (["sample", "job.jsonl", "-n", "0"], 2),
        (["split", "job.jsonl"], 2), (["split", "-", "--lines", "1"], 2), (["merge", "-", "-"], 2),
        (["diff", "-", "job.jsonl"], 2),
        (["diff", "nowhere", "job.jsonl"], 65), (["set", "job.jsonl"], 2), (["set", "a..b=1", "job.jsonl"], 2),
        (["nonsense"], 2),
        (["from-openai", "job.jsonl"], 65),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_a_sentence(
    arguments: list[str], code: int, job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = Commands(job.parent, None, monkeypatch, capsys)("jsonl", *arguments)
    assert ended.code == code
    assert "defect" not in ended.err
