"""Every kind of table gives the same rows: one suite over all readers."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import ENDINGS, TABLE, BadRow, Row, TableOptions, open_table
from batchllm.strictjson import dumps

ROWS = [
    {"name": "a", "text": "Grüße, 世界"},
    {"name": "b", "text": 'two "quoted"\nlines, and more'},
    {"name": "c", "text": "=1+1"},
]
Make = Callable[[Path, list[dict[str, Any]]], Path]


def as_csv(folder: Path, rows: list[dict[str, Any]], ending: str = "csv", delimiter: str = ",") -> Path:
    path = folder / f"table.{ending}"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["name", "text"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_tsv(folder: Path, rows: list[dict[str, Any]]) -> Path:
    return as_csv(folder, rows, "tsv", "\t")


def as_jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "table.jsonl"
    path.write_bytes(b"".join(dumps(row) + b"\n" for row in rows))
    return path


def arrow(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([("name", pa.string()), ("text", pa.string())]))


def as_parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(arrow(rows), folder / "table.parquet")
    return folder / "table.parquet"


def as_excel(folder: Path, rows: list[dict[str, Any]]) -> Path:
    book = openpyxl.Workbook()
    book.active.append(["name", "text"])
    for at, row in enumerate(rows, 2):
        for column, value in enumerate(row.values(), 1):
            cell = book.active.cell(at, column, value)
            cell.data_type = "s"
    book.save(folder / "table.xlsx")
    return folder / "table.xlsx"


def as_sqlite(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "table.db"
    connection = sqlite3.connect(path)
    connection.execute("create table reviews (name, text)")
    connection.executemany("insert into reviews values (:name, :text)", rows)
    connection.commit()
    connection.close()
    return path


def as_duckdb(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "table.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table reviews (name varchar, text varchar)")
        for row in rows:
            connection.execute("insert into reviews values ($name, $text)", row)
    return path


def as_texts(folder: Path, rows: list[dict[str, Any]]) -> Path:
    inside = folder / "texts"
    inside.mkdir()
    for row in rows:
        (inside / f"{row['name']}.txt").write_text(row["text"], encoding="utf-8", newline="")
    return inside


def as_dataset(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """As `datasets.save_to_disk` writes it: two Arrow files in the stream form, and their names in state.json."""
    inside = folder / "dataset" / "train"
    inside.mkdir(parents=True)
    names = []
    for number, part in enumerate((rows[:1], rows[1:])):
        names.append(f"data-{number:05d}-of-00002.arrow")
        table = arrow(part)
        with pa.OSFile(str(inside / names[-1]), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    (inside / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names], "_split": "train"}))
    (folder / "dataset" / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    return folder / "dataset"


MAKERS: dict[str, Make] = {
    "csv": as_csv, "tsv": as_tsv, "jsonl": as_jsonl, "parquet": as_parquet, "excel": as_excel, "sqlite": as_sqlite,
    "duckdb": as_duckdb, "texts": as_texts, "dataset": as_dataset,
}  # fmt: skip


def rows_of(source: Path | str, options: TableOptions | None = None) -> list[Row | BadRow]:
    with open_table(source, options) as table:
        return list(table.rows)


def test_every_kind_of_table_is_in_this_suite() -> None:
    assert MAKERS.keys() == TABLE.keys()
    assert set(ENDINGS.values()) <= TABLE.keys()


@pytest.mark.parametrize("kind", MAKERS)
def test_rows_come_in_order_numbered_from_one_with_their_texts_untouched(kind: str, tmp_path: Path) -> None:
    found = rows_of(MAKERS[kind](tmp_path, ROWS))
    assert [row.number for row in found] == [1, 2, 3]
    for row, made in zip(found, ROWS, strict=True):
        assert isinstance(row, Row)
        assert {name: row.values[name] for name in made} == made


@pytest.mark.parametrize("kind", MAKERS)
def test_a_table_knows_its_columns_before_its_first_row(kind: str, tmp_path: Path) -> None:
    with open_table(MAKERS[kind](tmp_path, ROWS)) as table:
        columns = table.columns
    assert columns is None if kind == "jsonl" else set(columns or ()) >= {"name", "text"}


@pytest.mark.parametrize("kind", MAKERS)
def test_cells_are_json_values(kind: str, tmp_path: Path) -> None:
    for row in rows_of(MAKERS[kind](tmp_path, ROWS)):
        assert isinstance(row, Row)
        assert json.loads(dumps(row.values)) == row.values


@pytest.mark.parametrize("kind", sorted(MAKERS.keys() - {"texts", "jsonl", "csv", "tsv"}))
def test_a_file_that_is_none_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"this is no table\n" * 100)
    with pytest.raises(JobError) as refused:
        rows_of(path, TableOptions(format=kind))
    assert refused.value.exit_code is ExitCode.BAD_DATA
    assert str(path) in str(refused.value)


def test_typed_cells_become_json(tmp_path: Path) -> None:
    path = tmp_path / "typed.parquet"
    query = (
        "select 1::bigint as n, 1.50::decimal(5,2) as price, date '2025-03-14' as \"day\", "
        "timestamp '2025-03-14 01:02:03' as \"at\", "
        "'nan'::double as odd, [1, 2] as list, {'a': 1} as \"inner\", 'x'::blob as data, true as yes, null as nothing"
    )
    with duckdb.connect() as connection:
        connection.execute(f"copy ({query}) to '{path}' (format parquet)")
    (row,) = rows_of(path)
    assert isinstance(row, Row)
    assert row.values == {
        "n": 1, "price": "1.50", "day": "2025-03-14", "at": "2025-03-14T01:02:03", "odd": None, "list": [1, 2],
        "inner": {"a": 1}, "data": "eA==", "yes": True, "nothing": None,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_query_says_which_rows(kind: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path, ROWS)
    query = "select upper(name) as who from reviews where name > 'a' order by name desc"
    for found in (rows_of(f"{path}?{query}"), rows_of(path, TableOptions(query=query))):
        assert [row.values for row in found if isinstance(row, Row)] == [{"who": "C"}, {"who": "B"}]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize(
    "query", ["selec", "select nothing from nowhere", "insert into reviews values ('x', 'y')", "drop table reviews"]
)
def test_a_query_that_is_wrong_or_would_change_something_is_refused(kind: str, query: str, tmp_path: Path) -> None:
    path = MAKERS[kind](tmp_path, ROWS)
    with pytest.raises(JobError) as refused:
        rows_of(path, TableOptions(query=query))
    assert refused.value.exit_code is ExitCode.USAGE
    assert len(rows_of(path)) == 3


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_packed_table_is_unpacked(kind: str, tmp_path: Path) -> None:
    import gzip

    path = MAKERS[kind](tmp_path, ROWS)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert rows_of(packed) == rows_of(path)


def test_bad_rows_of_csv_are_told_and_the_others_come(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbfid,text\r\n1,one\r\n\r\n2,two,three\r\n3\r\n4,four\r\n")
    found = rows_of(path)
    assert [(row.number, isinstance(row, Row)) for row in found] == [(1, True), (2, False), (3, False), (4, True)]
    assert "3 cells" in str(found[1])
    assert found[0] == Row(1, {"id": "1", "text": "one"})


def test_bad_rows_of_jsonl_are_told_and_the_others_come(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_bytes(b'{"a": 1}\n\n[1]\n{"a": \n{"a": 2}\n')
    assert [isinstance(row, Row) for row in rows_of(path)] == [True, False, False, True]


def test_a_quotation_that_is_never_closed_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('id,text\n1,one\n2,"two\n3,three\n')
    with pytest.raises(JobError, match="damaged after row 1"):
        rows_of(path)


def test_a_text_that_is_not_utf8_is_a_bad_row_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.txt").write_text("good")
    (tmp_path / ".hidden").write_text("no")
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    found = rows_of(tmp_path)
    assert [(row.number, isinstance(row, Row)) for row in found] == [(1, False), (2, True)]


def test_a_dataset_with_several_splits_wants_a_choice(tmp_path: Path) -> None:
    path = as_dataset(tmp_path, ROWS)
    (path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    with pytest.raises(JobError, match="--split: train, test"):
        open_table(path)
    assert len(rows_of(path, TableOptions(split="train"))) == 3


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(2):
        pq.write_table(arrow(ROWS[number : number + 1]), tmp_path / "data" / f"train-0000{number}-of-00002.parquet")
    assert [row.values["name"] for row in rows_of(tmp_path) if isinstance(row, Row)] == ["a", "b"]


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["a"])
    second = book.create_sheet("second")
    for cells in (["b", None], [1.0], [None], [2]):
        second.append(cells)
    book.save(tmp_path / "book.xlsx")
    found = rows_of(tmp_path / "book.xlsx", TableOptions(sheet="second"))
    assert [row.values for row in found if isinstance(row, Row)] == [{"b": 1.0}, {"b": 2}]
    with pytest.raises(JobError, match="no sheet 'third'; it has Sheet, second"):
        open_table(tmp_path / "book.xlsx", TableOptions(sheet="third"))


@pytest.mark.parametrize("name", ["table.txt", "table"])
def test_a_name_that_does_not_say_what_it_is_wants_a_format(name: str, tmp_path: Path) -> None:
    as_csv(tmp_path, ROWS).rename(tmp_path / name)
    with pytest.raises(JobError, match="--format"):
        open_table(tmp_path / name)
    assert len(rows_of(tmp_path / name, TableOptions(format="csv"))) == 3


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a\n1,2\n")
    with pytest.raises(JobError, match="two columns are called 'a'"):
        open_table(tmp_path / "t.csv")
