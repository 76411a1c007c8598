"""Arguments of the commands that read and write tables: `build`, `export`, and of `run` on a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from batchllm.cli.groups import place

FORMATS = ("csv", "tsv", "jsonl", "parquet", "excel", "sqlite", "duckdb", "texts", "dataset")


def build(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n"
        "  batchllm build reviews.csv -o reviews.jsonl --prompt 'Translate into English: {{ text }}'\n"
        "  batchllm build reviews.csv -o labels.jsonl --template prompts/label --id-column id --set max_tokens=100\n"
        "  batchllm build reviews.csv -o sweep.jsonl --template prompts/label --sweep temperature=0.1,0.7 --sweep model=a,b\n"
        "  batchllm build 'shop.db?select id, text from reviews' -o shop.jsonl --prompt '{{ text }}' --sample 2 --seed 1\n\n"
        "TABLE is a CSV, TSV, JSONL, Parquet, Excel, SQLite or DuckDB file, a folder of text files (columns name, path, text)\n"
        "or a Hugging Face dataset on disk; - is stdin. A template is Jinja2: a column it uses may not be empty, unless\n"
        'it asks first ({% if notes %}) or has a default; {{ row["Unit price"] }} is for odd names. A template folder\n'
        'holds user.j2, and if wanted system.j2 and examples.jsonl ({"user": …, "assistant": …} a line).\n\n'
        "exit codes: 0 every row is in the job · 1 some rows are bad, told and left out · 2 bad usage · 65 no usable row ·\n"
        "  74 the disk failed"
    )
    parser.add_argument("table", metavar="TABLE", help="what to read; FILE.db?QUERY names a database with its query")
    parser.add_argument("-o", "--output", type=place, required=True, metavar="JOB.jsonl", help="the job to write; - is stdout")
    _template(parser)
    _reading(parser)
    parser.add_argument("--limit", type=_count, metavar="N", help="only the first N rows")
    parser.add_argument("--strict", action="store_true", help="write nothing if any row is bad (exit 65)")
    parser.add_argument("--json", action="store_true", help="print what was built as one line of JSON on stderr")


def run_table(parser: argparse.ArgumentParser) -> None:
    """What `run` takes to build its job from a table first."""
    _template(parser)
    _reading(parser)


def _template(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("from rows to prompts")  # of `build`, and of `run` on a table
    group.add_argument("--template", type=Path, metavar="FILE | DIR", help="a Jinja2 prompt, or a folder with user.j2")
    group.add_argument("--prompt", metavar="TEXT", help="the prompt itself: 'Translate: {{ text }}'")
    group.add_argument("--system", metavar="TEXT", help="the system prompt, a template too")
    group.add_argument("--id-column", metavar="COLUMN", help="the column that gives each custom_id (default: row-N)")
    group.add_argument("--image-column", action="append", default=[], metavar="COLUMN", help="a column of image paths or URLs")
    group.add_argument("--keep", action="append", default=[], metavar="COLUMN", help="carry this column to the result")
    group.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a field of each request; repeatable")
    group.add_argument("--sweep", action="append", default=[], metavar="NAME=A,B", help="a line for each value; repeatable")
    group.add_argument("--repeat", type=_count, default=1, metavar="N", help="each line N times")
    group.add_argument("--sample", type=_count, metavar="N", help="N rows, each as likely as any other, in their order")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another sample (default: 0)")


def _reading(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reading the table")
    group.add_argument("--format", choices=FORMATS, help="what the table is, where its name does not say")
    group.add_argument("--query", metavar="SQL", help="the rows of a SQLite or DuckDB file")
    group.add_argument("--sheet", metavar="NAME", help="the sheet of a workbook (default: the first)")
    group.add_argument("--split", metavar="NAME", help="the split of a dataset")
    group.add_argument("--delimiter", metavar="C", help="what parts the cells of a CSV file (default: a comma)")
    group.add_argument("--encoding", default="utf-8-sig", metavar="NAME", help="of a CSV file or texts (default: utf-8)")


def export(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples:\n"
        "  batchllm export outputs/reviews -o answers.csv\n"
        "  batchllm export outputs/reviews -o answers.jsonl --input reviews.csv\n"
        "  batchllm export outputs/reviews -o answers.csv --input reviews.csv --on id --all\n\n"
        "One row for each line of the job with a record, in the job's order: custom_id, line, the input's columns, answer,\n"
        "parsed.FIELD for every field of the schema, reasoning, tokens, cost_usd, attempts, latency_s, error_code,\n"
        "error_message. The ending says what is written: csv, tsv, jsonl, parquet, xlsx, or a table in a duckdb file.\n"
        "Text that a spreadsheet would run as a formula gets a ' in front in CSV, and is marked as text in Excel.\n\n"
        "exit codes: 0 exported · 2 bad usage · 65 no output folder, or damaged · 74 the disk failed"
    )
    about = "an output folder, also of a job that is running, or where one was shipped (s3://, gs://, az://)"
    parser.add_argument("folder", type=place, metavar="DIR", help=about)
    parser.add_argument("-o", "--output", type=place, metavar="FILE", help="the table (default: DIR/export.csv; - is stdout)")
    parser.add_argument("--to", choices=("csv", "tsv", "jsonl", "parquet", "xlsx", "duckdb"), help="if the name does not say")
    parser.add_argument("--job", type=place, metavar="JOB.jsonl", help="the job, where it is no longer where job.json says")
    parser.add_argument("--input", metavar="TABLE", help="the table the job was built from: its columns are put beside")
    parser.add_argument("--on", metavar="COLUMN", help="the input's column that holds the custom_id (default: by row number)")
    parser.add_argument("--explode", metavar="FIELD", help="a row for each element of this list of the answer")
    parser.add_argument("--all", action="store_true", help="also lines without a record, as error_code 'pending'")
    parser.add_argument("--table", default="results", metavar="NAME", help="the table in a duckdb file (default: results)")
    _reading(parser)
    parser.add_argument("--json", action="store_true", help="print what was exported as one line of JSON on stderr")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it has to be 1 or more")
    return value
