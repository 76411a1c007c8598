"""`build` and `export` at two sizes: rows a second, and memory that does not follow the table.

    python -m benchmarks.tables [--small 200000] [--large 1000000] [--to parquet,csv] [--shuffled]

The table is CSV with an id and a text; the folder is what a run with a schema of nine fields leaves behind, answers of about
1 kB a record. Files are in the page cache; each command is a process of its own, its whole time counted.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tempfile
from pathlib import Path

import orjson

from batchllm.journal.manifest import Manifest
from batchllm.journal.storage import Storage
from benchmarks.make_job import Shape, documents
from benchmarks.processes import Cost, cost

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad", "mixed"]},
        "score": {"type": "number"},
        "count": {"type": "integer"},
        "urgent": {"type": "boolean"},
        "summary": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "party": {"type": "object", "properties": {"name": {"type": "string"}, "city": {"type": "string"}}},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
DIGEST, SETTINGS = "0" * 32, "00000000"


def write_table(path: Path, rows: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        for number, (_, text) in zip(range(1, rows + 1), documents(Shape(), 0), strict=False):
            writer.writerow([f"doc-{number}", text])


def record(number: int) -> bytes:
    parsed = {
        "label": "good", "score": number / 7, "count": number, "urgent": number % 2 == 0,
        "summary": None if number % 3 else "short",
        "party": {"name": f"party {number}", "city": "Köln"}, "tags": ["a", "b"],
    }  # fmt: skip
    usage = {"prompt_tokens": 80, "completion_tokens": 20, "total_tokens": 100}
    message = {"role": "assistant", "content": orjson.dumps(parsed).decode(), "refusal": None, "annotations": []}
    body = {
        "id": f"chatcmpl-{number:020d}", "object": "chat.completion", "created": 1735689600, "model": "instant",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": usage,
    }  # fmt: skip
    facts = {
        "line": number, "digest": DIGEST, "settings": SETTINGS,
        "usage": {**usage, "cached_tokens": 0, "reasoning_tokens": None},
        "attempts": 1, "latency_s": 0.5, "ttft_s": None, "cost_usd": 0.00021, "provider": "custom", "metadata": {"row": number},
        "parsed": parsed,
    }  # fmt: skip
    response = {"status_code": 200, "request_id": f"req_{number:016d}", "body": body}
    head = {"id": f"batch_req_{number:024d}", "custom_id": f"row-{number}"}
    return orjson.dumps({**head, "response": response, "error": None, "batchllm": facts}, option=orjson.OPT_APPEND_NEWLINE)


def write_folder(folder: Path, job: Path, rows: int, *, shuffled: bool) -> None:
    """What a run over `job` left behind; records come in an order near the job's, as requests in flight end, or in none."""
    folder.mkdir()
    rng = random.Random(0)
    order = sorted(range(1, rows + 1), key=lambda number: rng.random() * (rows if shuffled else 64) + number * (not shuffled))
    with (folder / "results.jsonl").open("wb", buffering=1 << 20) as file:
        file.writelines(map(record, order))
    for name in ("attempts.jsonl", "errors.jsonl"):
        (folder / name).touch()
    shaping = {"schema": {"": SCHEMA}}
    Manifest({"path": str(job)}, shaping, {}, (SETTINGS,), "0", "2025-01-01T00:00:00+00:00").write(Storage(), folder)


def row(name: str, rows: int, measured: Cost) -> str:
    rate = rows / measured.wall_s
    cpu = rows / measured.cpu_s
    peak = measured.peak / 2**20
    speed = f"{measured.wall_s:7.1f} s  {rate:>9,.0f} rows/s  ({cpu:,.0f} a CPU second)"
    return f"{name:<16}{rows:>10,} rows {speed}  {peak:6.0f} MiB at the peak"


def measure(rows: int, formats: list[str], *, shuffled: bool) -> None:
    batchllm = [sys.executable, "-m", "batchllm"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, job, out = folder / "table.csv", folder / "job.jsonl", folder / "out"
        write_table(table, rows)
        made = cost([*batchllm, "build", str(table), "-o", str(job), "--prompt", "Label this: {{ text }}"], folder)
        print(row("build", rows, made), flush=True)
        write_folder(out, job, rows, shuffled=shuffled)
        print(f"{'':16}{(out / 'results.jsonl').stat().st_size / rows:10,.0f} bytes a record")
        for ending in formats:
            target = folder / f"export.{ending}"
            print(row(f"export {ending}", rows, cost([*batchllm, "export", str(out), "-o", str(target)], folder)), flush=True)
            target.unlink()
        joined = [*batchllm, "export", str(out), "-o", str(folder / "joined.parquet"), "--input", str(table)]
        print(row("export joined", rows, cost(joined, folder)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description="Speed and memory of build and export.")
    parser.add_argument("--small", metavar="N", type=int, default=200_000, help="(default: 200000)")
    parser.add_argument("--large", metavar="N", type=int, default=1_000_000, help="0 for none (default: 1000000)")
    parser.add_argument("--to", default="parquet,csv,jsonl", metavar="A,B", help="formats (default: parquet,csv,jsonl)")
    parser.add_argument("--shuffled", action="store_true", help="records in no order at all")
    given = parser.parse_args()
    for rows in (given.small, given.large):
        if rows:
            measure(rows, given.to.split(","), shuffled=given.shuffled)
    return 0


if __name__ == "__main__":
    sys.exit(main())
