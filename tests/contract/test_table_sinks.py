"""Every format holds the same table: one suite over all sinks."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow.parquet as pq
import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.export.shape import Column, Kind
from batchllm.sinks.tables import TABLE, SinkOptions, sink_for

COLUMNS = (
    Column("text", Kind.TEXT), Column("whole", Kind.INT), Column("broken", Kind.FLOAT), Column("yes", Kind.BOOL),
    Column("inner.list", Kind.JSON),
)  # fmt: skip
ROWS: list[list[Any]] = [
    ["Grüße, 世界", 1, 1.5, True, '["a",1]'],
    ['two "quoted"\nlines, and more', -(1 << 62), -0.25, False, "[]"],
    [None, None, None, None, None],
    ["", 0, 0.0, False, "{}"],
]
Cells = list[dict[str, Any]]


def from_delimited(path: Path, delimiter: str) -> Cells:
    def typed(row: dict[str, str]) -> dict[str, Any]:
        text, whole, broken, yes, inner = (value or None for value in row.values())
        values = [text, whole and int(whole), broken and float(broken), yes and yes == "true", inner]
        return dict(zip(row, values, strict=True))

    with path.open(newline="", encoding="utf-8") as file:
        return [typed(row) for row in csv.DictReader(file, delimiter=delimiter)]


def from_jsonl(path: Path) -> Cells:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    packed = json.JSONEncoder(separators=(",", ":")).encode
    return [
        {**row, "inner.list": row["inner.list"] if row["inner.list"] is None else packed(row["inner.list"])} for row in rows
    ]


def from_excel(path: Path) -> Cells:
    book = openpyxl.load_workbook(path)
    names, *rows = book.active.iter_rows(values_only=True)
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def from_duckdb(path: Path) -> Cells:
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("select * from results")
        names = [name for name, *_ in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


READERS: dict[str, Callable[[Path], Cells]] = {
    "csv": lambda path: from_delimited(path, ","),
    "tsv": lambda path: from_delimited(path, "\t"),
    "jsonl": from_jsonl,
    "parquet": lambda path: pq.read_table(path).to_pylist(),
    "xlsx": from_excel,
    "duckdb": from_duckdb,
}
EMPTY_IS_NULL = ("csv", "tsv", "xlsx")
WITHOUT_64_BITS = "xlsx"


def written(path: Path, rows: list[list[Any]] = ROWS, columns: tuple[Column, ...] = COLUMNS) -> Path:
    with sink_for(path)(path, columns, SinkOptions()) as take:
        for row in rows:
            take([list(row)])
        take([])
    return path


def test_every_sink_is_in_this_suite() -> None:
    assert READERS.keys() == TABLE.keys()


@pytest.mark.parametrize("name", READERS)
def test_a_table_is_read_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    found = READERS[name](written(tmp_path / f"out.{name}"))
    expected = [dict(zip((column.name for column in COLUMNS), row, strict=True)) for row in ROWS]
    if name in EMPTY_IS_NULL:
        expected[3]["text"] = None
    if name == WITHOUT_64_BITS:
        expected[1]["whole"] = str(-(1 << 62))  # more digits than its numbers have
    assert found == expected


@pytest.mark.parametrize("name", READERS)
def test_a_table_without_rows_has_its_columns(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"out.{name}", [])
    assert READERS[name](path) == []
    assert path.exists()


@pytest.mark.parametrize("name", READERS)
def test_only_its_owner_reads_the_file(name: str, tmp_path: Path) -> None:
    assert written(tmp_path / f"out.{name}").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", READERS)
def test_what_fails_on_the_way_leaves_the_old_table_and_nothing_else(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"out.{name}")
    before = READERS[name](path)
    with pytest.raises(ZeroDivisionError), sink_for(path)(path, COLUMNS[:1], SinkOptions()) as take:  # noqa: PT012
        take([["new"]])
        raise ZeroDivisionError
    assert READERS[name](path) == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", READERS)
def test_a_first_table_that_fails_leaves_no_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{name}"
    with pytest.raises(ZeroDivisionError), sink_for(path)(path, COLUMNS, SinkOptions()):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", READERS)
def test_half_a_character_spoils_nothing(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"out.{name}", [["a \ud83d b", 1, None, None, None]])
    assert str(READERS[name](path)[0]["text"]).startswith("a ")


@pytest.mark.parametrize("name", READERS)
def test_a_folder_that_cannot_be_written_is_the_disks_fault(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / f"out.{name}"
    with pytest.raises(JobError) as refused:
        written(path)
    assert refused.value.exit_code is ExitCode.DISK


@pytest.mark.parametrize("name", ["parquet", "duckdb"])
def test_a_column_of_nulls_keeps_its_type(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"out.{name}", [[None] * 5])
    if name == "duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            kinds = [kind for _, kind, *_ in connection.execute("describe results").fetchall()]
        assert kinds == ["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR"]
    else:
        assert list(map(str, pq.read_schema(path).types)) == ["string", "int64", "double", "bool", "string"]


def test_other_tables_of_a_database_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table mine as select 1 as a")
    written(path)
    written(path)
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("select * from mine").fetchall() == [(1,)]
        assert connection.execute("select count(*) from results").fetchone() == (4,)


def test_columns_that_differ_only_in_case_are_both_kept(tmp_path: Path) -> None:
    columns = (Column("Name", Kind.TEXT), Column("name", Kind.TEXT))
    path = written(tmp_path / "out.duckdb", [["a", "b"]], columns)
    assert from_duckdb(path) == [{"Name": "a", "name_2": "b"}]


DANGEROUS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1+1", "\u200b=1+1", "\ufeff@x", "\u00a0-x", "＝1+1", "＠x",
    "=cmd|'/c calc'!A0", "-2+3+cmd|x", "+49 30 / 1", "--", "-", "-x",
]  # fmt: skip
HARMLESS = ["-5", "+5", "-1.25", "+49", "-1,234.5", "-3e-7", "-12%", "a=b", "1+1", "'=1", "", "x@y.example", "—", "10:30"]


@pytest.mark.parametrize("name", ["csv", "tsv"])
def test_formulas_get_an_apostrophe_in_text_formats_x12(name: str, tmp_path: Path) -> None:
    columns = (Column("=HYPERLINK()", Kind.TEXT), Column("n", Kind.INT))
    path = written(tmp_path / f"out.{name}", [[text, -1] for text in DANGEROUS + HARMLESS], columns)
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file, delimiter="," if name == "csv" else "\t"))
    assert head == ["'=HYPERLINK()", "n"]
    assert [row[0] for row in rows] == ["'" + text for text in DANGEROUS] + HARMLESS
    assert {row[1] for row in rows} == {"-1"}


def test_no_cell_of_a_workbook_is_a_formula_x12(tmp_path: Path) -> None:
    path = written(tmp_path / "out.xlsx", [[text] for text in DANGEROUS + HARMLESS[:3]], (Column("=1", Kind.TEXT),))
    cells = [row[0] for row in openpyxl.load_workbook(path).active.iter_rows()]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.quotePrefix for cell in cells] == [True] * (len(DANGEROUS) + 1) + [False] * 3


def test_a_cell_too_long_for_excel_is_cut_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "out.xlsx", [["x" * 40_000], ["bad \x00 sign"]], (Column("text", Kind.TEXT),))
    assert [len(row["text"]) for row in from_excel(path)] == [32_767, 10]
    assert "1 cells are longer" in capsys.readouterr().err


def test_a_pipe_takes_text_formats_only(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(JobError, match="parquet does not go into a pipe"):
        sink_for(Path("-"), "parquet")
    with sink_for(Path("-"))(Path("-"), COLUMNS[:1], SinkOptions()) as take:
        take([["a"]])
    assert capfdbinary.readouterr().out == b"text\r\na\r\n"
