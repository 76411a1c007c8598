"""`docs/lines.md` shows lines that run."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from tests.conftest import Command, by_id

PAGE = Path(__file__).parents[2] / "docs/lines.md"
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def test_the_blocks_of_the_page_are_a_job_that_runs(command: Command) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for language, name in (("json", "job.jsonl"), ("toml", "batchllm.toml"), ("python", "shop.py")):
        (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
        (command.folder / name).write_text(block, encoding="utf-8")
    (command.folder / "scans").mkdir()
    (command.folder / "scans/17.png").write_bytes(PNG)
    ended = command("run", "job.jsonl", "--json")
    assert ended.code == 0, ended.err
    found = by_id(command.folder / "outputs/job/results.jsonl")
    assert len(found["talk-1"]["batchllm"]["turns"]) == 3
    assert found["bill-1"]["batchllm"]["parsed"]["items"] is not None
    assert found["scan-1"]["batchllm"]["media"][0]["path"] == "17.png"
    assert found["text-1"]["batchllm"]["packed"] == 2
    assert ended.summary["structured"] == "json_schema"
