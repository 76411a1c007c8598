"""`benchmarks.streams` compares like with like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.processes import cost
from benchmarks.streams import CLIENTS, command, job, stream_server

Read = list[tuple[str, str, int]]


def test_every_client_reads_the_same_answers_and_usage(tmp_path: Path) -> None:
    pytest.importorskip("httpx_sse")
    lines = job(tmp_path / "job.jsonl", 3)
    read: dict[str, Read] = {}
    with stream_server(chunks=12, tick_ms=1.0) as base_url:
        for client in CLIENTS:
            cost(command(client, lines, tmp_path / client, base_url, 2), tmp_path)
            read[client] = told(tmp_path / client)
    assert len(read["batchllm"]) == 3
    assert read["batchllm"][0] == ("doc-0", "Three oak shelves at 149.00 EUR each are wanted by ", 174)
    assert all(one == read["batchllm"] for one in read.values())


def told(out: Path) -> Read:
    if out.is_file():
        found = [json.loads(line) for line in out.read_text().splitlines()]
        return sorted((one["custom_id"], one["text"], one["usage"]["total_tokens"]) for one in found)
    found = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    texts = [one["response"]["body"]["choices"][0]["message"]["content"] for one in found]
    return sorted(
        (one["custom_id"], text, one["batchllm"]["usage"]["total_tokens"]) for one, text in zip(found, texts, strict=True)
    )
