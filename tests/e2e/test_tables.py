"""From table to table with the real commands: build, run, export."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from batchllm.cli.arguments import build_parser
from tests.conftest import Command, records
from tests.e2e.commands import Commands

REVIEWS = [
    {"id": "r1", "text": "Sehr gut", "notes": ""}, {"id": "r2", "text": "=SUM(A1:A9)", "notes": "odd"},
    {"id": "r3", "text": "quoted \"text\",\nin two lines", "notes": ""},
]  # fmt: skip
STRICT = {"type": "object", "additionalProperties": False}
TAG = {**STRICT, "required": ["name", "n"], "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}}
SCHEMA = {
    **STRICT, "required": ["label", "score", "tags", "party"],
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad"]}, "score": {"type": ["number", "null"]},
        "tags": {"type": "array", "items": TAG},
        "party": {**STRICT, "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}  # fmt: skip
NUMBERED = {"name": "s", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}


def write_reviews(folder: Path) -> Path:
    path = folder / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "text", "notes"])
        writer.writeheader()
        writer.writerows(REVIEWS)
    return path


@pytest.fixture
def reviews(command: Command) -> Path:
    return write_reviews(command.folder)


@pytest.fixture
def inside(command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """The same commands in this process: for what needs no pipe of its own."""
    return Commands(command.folder, None, monkeypatch, capsys)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# -- build -------------------------------------------------------------------------------------------------------


def test_bad_rows_are_told_left_out_and_end_with_one(command: Command, reviews: Path) -> None:
    with reviews.open("a") as file:
        file.write("r4,,\nr5,a,b,c\nr1,again,\n")
    ended = command("build", reviews, "-o", "job.jsonl", "--prompt", "{{ text }}", "--id-column", "id")
    assert ended.code == 1
    assert "row 4: 'text' is empty" in ended.err
    assert "row 5: it has 4 cells, the header has 3" in ended.err
    assert "row 6: 'id' is 'r1' again, as in row 1" in ended.err
    assert [line["custom_id"] for line in records(command.folder / "job.jsonl")] == ["r1", "r2", "r3"]
    assert (command.folder / "job.jsonl").stat().st_mode & 0o777 == 0o600


def test_strict_refuses_and_leaves_the_old_job(command: Command, reviews: Path) -> None:
    (command.folder / "job.jsonl").write_text("old")
    with reviews.open("a") as file:
        file.write("r4,,\n")
    ended = command("build", reviews, "-o", "job.jsonl", "--prompt", "{{ text }}", "--strict")
    assert (ended.code, (command.folder / "job.jsonl").read_text()) == (65, "old")
    assert "row 4" in ended.err
    assert not [path for path in command.folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["reviews.csv", "-o", "j", "--prompt", "{{ txt }}"], 2, "no column 'txt'; the nearest is 'text'"),
        (["reviews.csv", "-o", "j"], 2, "--template FILE or --prompt TEXT"),
        (["reviews.csv", "-o", "j", "--prompt", "a", "--template", "b"], 2, "one of them"),
        (["reviews.csv", "-o", "j", "--template", "nowhere"], 2, "nowhere cannot be read"),
        (["reviews.csv", "-o", "j", "--prompt", "{{ text"], 2, "line 1"),
        (["reviews.csv", "-o", "j", "--prompt", "a", "--id-column", "no"], 2, "no column 'no'"),
        (["nowhere.csv", "-o", "j", "--prompt", "a"], 65, "no such file"),
        (["-", "-o", "j", "--prompt", "a"], 2, "--format csv"),
        (["reviews.csv", "-o", "reviews.csv", "--prompt", "a"], 2, "the table itself"),
        (["reviews.csv", "-o", "j", "--prompt", "a", "--query", "x", "--sweep", "a"], 2, "NAME=VALUE"),
        (["empty.csv", "-o", "j", "--prompt", "a"], 65, "no row of it can be asked"),
    ],
)
def test_what_cannot_be_built_is_a_sentence_and_writes_nothing(
    arguments: list[str], code: int, words: str, command: Command, reviews: Path, inside: Commands
) -> None:
    (command.folder / "empty.csv").write_text("id,text\n")
    ended = inside("build", *arguments)
    assert ended.code == code
    assert words in ended.err
    assert not (command.folder / "j").exists()


def test_a_table_goes_in_and_out_through_pipes(command: Command, reviews: Path) -> None:
    ended = command(
        "build", "-", "--format", "csv", "-o", "-", "--prompt", "{{ text }}", stdin=reviews.read_text(encoding="utf-8")
    )
    assert ended.code == 0
    assert [json.loads(line)["prompt"] for line in ended.out.splitlines()] == [row["text"] for row in REVIEWS]


def test_building_twice_gives_the_same_bytes(command: Command, reviews: Path) -> None:
    made = [
        command("build", reviews, "-o", "-", "--prompt", "{{ text }}", "--sample", "2", "--seed", "4").out for _ in range(2)
    ]
    assert made[0] == made[1] != ""


# -- run on a table ----------------------------------------------------------------------------------------------


def test_a_table_is_run_in_one_step_and_going_on_asks_nothing_twice(command: Command, reviews: Path, simulator: str) -> None:
    run = ("run", reviews, "--prompt", "Label {{ text }}", "--base-url", simulator, "--model", "m", "--json", "--quiet")
    first, again = command(*run), command(*run)
    assert (first.code, again.code) == (0, 0)
    assert first.summary["request_counts"]["completed"] == 3
    assert again.summary["requests"] == 0
    assert len(records(command.folder / "outputs/reviews.jsonl")) == 3


def test_a_run_on_a_table_with_bad_rows_ends_with_one(command: Command, reviews: Path, simulator: str) -> None:
    with reviews.open("a") as file:
        file.write("r4,,\n")
    ended = command("run", reviews, "--prompt", "{{ text }}", "--base-url", simulator, "--model", "m", "--quiet", "-o", "out")
    assert ended.code == 1
    assert "row 4: 'text' is empty" in ended.err
    assert len(records(command.folder / "out/results.jsonl")) == 3


def test_the_sidecar_of_a_table_holds_its_settings(command: Command, reviews: Path, simulator: str) -> None:
    (command.folder / "reviews.toml").write_text(f'base_url = "{simulator}"\nmodel = "from-sidecar"\n')
    assert command("run", reviews, "--prompt", "{{ text }}", "--quiet").code == 0
    manifest = json.loads((command.folder / "outputs/reviews/job.json").read_text())
    assert manifest["shaping"]["model"] == "from-sidecar"


# -- export ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Path:
    """A folder with a finished run over the reviews, two temperatures each, under a schema."""
    command = Command(tmp_path_factory.mktemp("finished"))
    write_reviews(command.folder)
    (command.folder / "label.json").write_text(json.dumps(SCHEMA))
    ended = command("run", "reviews.csv", "--prompt", "Label {{ text }}", "--sweep", "temperature=0,1",
                    "--schema", "label.json",
                    "--base-url", simulator, "--model", "m", "--quiet")  # fmt: skip
    assert ended.code == 0, ended.err
    return command.folder


@pytest.fixture
def done(command: Command, finished: Path) -> Path:
    """The output folder of a copy of that run."""
    shutil.copytree(finished, command.folder, dirs_exist_ok=True)
    return command.folder / "outputs/reviews"


def test_the_table_comes_back_with_answers_beside_its_own_columns(command: Command, done: Path) -> None:
    assert command("export", done, "-o", "out.csv", "--input", "reviews.csv").code == 0
    found = rows(command.folder / "out.csv")
    assert [row["line"] for row in found] == ["1", "2", "3", "4", "5", "6"]
    assert [row["id"] for row in found] == ["r1", "r1", "r2", "r2", "r3", "r3"]
    assert found[2]["text"] == "'=SUM(A1:A9)"
    assert found[4]["text"] == REVIEWS[2]["text"]
    assert list(found[0])[:9] == [
        "custom_id", "line", "id", "text", "notes", "answer", "parsed.label", "parsed.score", "parsed.tags",
    ]  # fmt: skip
    assert {row["metadata.temperature"] for row in found} == {"0", "1"}
    kept = {record["custom_id"]: record["batchllm"] for record in records(done / "results.jsonl")}
    for row in found:
        facts = kept[row["custom_id"]]
        assert row["parsed.label"] == facts["parsed"]["label"]
        assert json.loads(row["parsed.tags"]) == facts["parsed"]["tags"]
        assert row["total_tokens"] == str(facts["usage"]["total_tokens"])
        assert (row["attempts"], row["error_code"]) == ("1", "")


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "xlsx", "duckdb"])
def test_every_format_is_written(ending: str, command: Command, done: Path) -> None:
    ended = command("export", done, "-o", f"out.{ending}", "--json")
    assert ended.code == 0
    told = json.loads(ended.err)
    assert (told["rows"], told["answered"], told["failed"]) == (6, 6, 0)
    assert (command.folder / f"out.{ending}").stat().st_size > 0


def test_columns_are_typed_by_the_schema_also_where_all_are_null(command: Command, done: Path) -> None:
    path = done / "results.jsonl"
    lines = records(path)
    for line in lines:
        line["batchllm"]["parsed"] |= {"score": None}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert command("export", done, "-o", "out.parquet").code == 0
    kinds = {field.name: str(field.type) for field in pq.read_schema(command.folder / "out.parquet")}
    assert kinds["parsed.score"] == kinds["cost_usd"] == "double"
    assert kinds["error_code"] == kinds["parsed.label"] == "string"
    assert kinds["line"] == kinds["cached_tokens"] == kinds["metadata.temperature"] == "int64"


def test_a_list_becomes_rows(command: Command, done: Path) -> None:
    assert command("export", done, "-o", "out.jsonl", "--explode", "tags").code == 0
    found = records(command.folder / "out.jsonl")
    expected = []
    for record in sorted(records(done / "results.jsonl"), key=lambda one: one["batchllm"]["line"]):
        tags = record["batchllm"]["parsed"]["tags"] or [{"name": None, "n": None}]
        expected += [(record["custom_id"], tag["name"], tag["n"]) for tag in tags]
    assert [(row["custom_id"], row["parsed.tags.name"], row["parsed.tags.n"]) for row in found] == expected
    assert "parsed.tags" not in found[0]
    assert "its lists are tags" in command("export", done, "--explode", "party").err


def broken(done: Path, edit: Callable[[int, dict[str, Any]], None]) -> None:
    """Change the records of a finished run in place."""
    lines = records(done / "results.jsonl")
    for at, line in enumerate(lines):
        edit(at, line)
    (done / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_value_its_column_cannot_hold_widens_the_column_and_loses_nothing(command: Command, done: Path) -> None:
    def odd(at: int, line: dict[str, Any]) -> None:
        if at == 4:
            line["batchllm"]["parsed"] |= {"score": "very", "more": 1}

    broken(done, odd)
    assert command("export", done, "-o", "out.jsonl").code == 0
    found = records(command.folder / "out.jsonl")
    assert [row["parsed.score"] for row in found if row["parsed.more"]] == ["very"]
    assert command("export", done, "-o", "-", "--to", "jsonl").out == (command.folder / "out.jsonl").read_text()


def test_the_order_is_the_jobs_also_after_lines_moved_and_lines_went(command: Command, done: Path) -> None:
    job = command.folder / "outputs/reviews.jsonl"
    lines = job.read_text().splitlines()
    job.write_text("\n".join([*reversed(lines[1:]), '{"custom_id": "new", "prompt": "x"}']) + "\n")
    ended = command("export", done, "-o", "out.csv", "--input", "reviews.csv")
    found = rows(command.folder / "out.csv")
    assert [row["custom_id"] for row in found] == [json.loads(line)["custom_id"] for line in reversed(lines[1:])]
    assert [row["id"] for row in found] == ["r3", "r3", "r2", "r2", "r1"]
    assert "1 records belong to lines the job no longer has" in ended.err
    assert "1 lines have no record yet" in ended.err
    assert command("export", done, "-o", "all.csv", "--all").code == 0
    assert [row["error_code"] for row in rows(command.folder / "all.csv")] == [""] * 5 + ["pending"]


def test_without_the_job_lines_stand_as_they_were_asked(command: Command, done: Path) -> None:
    (command.folder / "outputs/reviews.jsonl").unlink()
    ended = command("export", done, "-o", "out.csv")
    assert [row["line"] for row in rows(command.folder / "out.csv")] == ["1", "2", "3", "4", "5", "6"]
    assert "lines are counted as they were" in ended.err
    assert command("export", done, "--all").code == 2


def test_failed_and_bad_lines_have_their_rows(command: Command, simulator: str) -> None:
    lines = [{"custom_id": "a", "prompt": "x", "model": "m"}, "nonsense", {"custom_id": "a", "prompt": "y", "model": "m"},
             {"custom_id": "z", "prompt": "z", "model": "m",
              "response_format": {"type": "json_schema", "json_schema": NUMBERED}}]  # fmt: skip
    job = command.write("job.jsonl", *lines)
    assert command("run", job, "--base-url", simulator, "--quiet").code == 1
    assert command("export", "outputs/job").code == 0
    found = rows(command.folder / "outputs/job/export.csv")
    assert [(row["line"], row["error_code"]) for row in found] == [
        ("1", ""), ("2", "invalid_line"), ("3", "duplicate_custom_id"), ("4", ""),
    ]  # fmt: skip
    assert found[3]["parsed.n"].lstrip("-").isdigit()


def test_a_line_that_was_answered_before_it_changed_and_failed_is_exported_as_failed(command: Command, done: Path) -> None:
    last = sorted(records(done / "results.jsonl"), key=lambda one: one["batchllm"]["line"])[-1]
    failed = {**last, "response": None, "error": {"code": "timeout", "message": "too slow"},
              "batchllm": {**last["batchllm"], "digest": "f" * 32, "parsed": None}}  # fmt: skip
    (done / "attempts.jsonl").write_text(json.dumps({"custom_id": last["custom_id"], "line": 6, "record": failed}) + "\n")
    for told, code in (("", ""), (json.dumps(failed) + "\n", "timeout")):
        (done / "errors.jsonl").write_text(told)
        assert command("export", done, "-o", "out.csv").code == 0
        assert rows(command.folder / "out.csv")[5]["error_code"] == code


def test_answers_to_settings_that_no_longer_count_are_left_out(command: Command, done: Path) -> None:
    broken(done, lambda at, line: line["batchllm"].update(settings="gone") if at == 0 else None)
    ended = command("export", done, "-o", "out.csv")
    assert len(rows(command.folder / "out.csv")) == 5
    assert "1 answers were made with other settings" in ended.err


def test_a_run_that_is_writing_is_exported_up_to_its_last_whole_record(command: Command, done: Path) -> None:
    path = done / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert command("export", done, "-o", "out.csv").code == 0
    assert len(rows(command.folder / "out.csv")) == 5


def test_an_id_column_joins_a_job_that_was_not_built(command: Command, reviews: Path, simulator: str) -> None:
    job = command.write("job.jsonl", *({"custom_id": one, "prompt": one, "model": "m"} for one in ("r3", "r1", "other")))
    assert command("run", job, "--base-url", simulator, "--quiet").code == 0
    assert command("export", "outputs/job", "-o", "out.csv", "--input", reviews, "--on", "id").code == 0
    assert [(row["custom_id"], row["id"], row["notes"]) for row in rows(command.folder / "out.csv")] == [
        ("r3", "r3", ""), ("r1", "r1", ""), ("other", "", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nowhere"], 65), (["outputs"], 65), (["outputs/reviews", "-o", "x.txt"], 2),
        (["outputs/reviews", "-o", "-", "--to", "xlsx"], 2),
        (["outputs/reviews", "--on", "id"], 2), (["outputs/reviews", "--input", "reviews.csv", "--on", "nothing"], 2),
        (["outputs/reviews", "--job", "nowhere"], 65), (["outputs/reviews", "--input", "reviews.csv", "-o", "reviews.csv"], 2),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_a_sentence(arguments: list[str], code: int, inside: Commands, done: Path) -> None:
    ended = inside("export", *arguments)
    assert ended.code == code, ended.err
    assert "defect" not in ended.err


def test_a_damaged_record_in_the_midst_is_told_with_its_line(command: Command, done: Path) -> None:
    path = done / "results.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b"garbage", *lines[1:]]))
    ended = command("export", done, "-o", "out.csv")
    assert ended.code == 65
    assert "results.jsonl: line 2 is damaged" in ended.err
    assert not (command.folder / "out.csv").exists()


# -- the examples of the help ------------------------------------------------------------------------------------


def examples(name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit):
        build_parser([name]).parse_args([name, "--help"])
    return re.findall(rf"^ +(batchllm {name} .+)$", capsys.readouterr().out, re.MULTILINE)


def run_example(command: Command, line: str) -> None:
    stdin = None
    for part in line.split(" | "):
        ended = command(*shlex.split(part)[1:], stdin=stdin)
        assert ended.code == 0, (part, ended.err)
        stdin = ended.out


def test_the_examples_of_build_run(command: Command, reviews: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command.folder / "prompts/label").mkdir(parents=True)
    (command.folder / "prompts/label/user.j2").write_text("Label: {{ text }}")
    base = sqlite3.connect(command.folder / "shop.db")
    base.execute("create table reviews (id, text)")
    base.executemany("insert into reviews values (:id, :text)", REVIEWS)
    base.commit()
    base.close()
    found = examples("build", capsys)
    assert len(found) >= 4
    for line in found:
        run_example(command, line)
    assert len(records(command.folder / "sweep.jsonl")) == 12
    assert len(records(command.folder / "shop.jsonl")) == 2


def test_the_examples_of_export_run(command: Command, done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = examples("export", capsys)
    assert len(found) >= 3
    for line in found:
        run_example(command, line)


def test_the_examples_of_the_jsonl_tools_run(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command.write("reviews.jsonl", *({"custom_id": one["id"], "prompt": one["text"]} for one in REVIEWS))
    found = examples("jsonl", capsys)
    assert len(found) >= 8
    for line in found:
        run_example(command, line)


def test_the_exported_table_answers_queries(command: Command, done: Path) -> None:
    assert command("export", done, "-o", "out.duckdb", "--table", "labels").code == 0
    with duckdb.connect(str(command.folder / "out.duckdb"), read_only=True) as connection:
        found = connection.execute('select count(*), min("metadata.row"), max("metadata.row") from labels').fetchone()
    assert found == (6, 1, 3)
