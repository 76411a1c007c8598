"""Runs against servers that are not ours: their addresses, one run, and what an honest record of theirs looks like."""

from __future__ import annotations

import asyncio
import json
import os
import re
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batchllm import assembly
from batchllm.configuration import Configuration
from batchllm.pipeline import Run
from batchllm.settings import checked
from batchllm.supervisor import supervise
from tests.e2e.simulated import Line, Outcome

MODEL = os.environ.get("BATCHLLM_TEST_MODEL", "tiny")


def address(name: str) -> str:
    """The base URL of a server to test against, from `BATCHLLM_TEST_<NAME>`; skips where it is not set."""
    variable = f"BATCHLLM_TEST_{name}"
    if not (value := os.environ.get(variable)):
        pytest.skip(f"{variable} names no server (see docs/servers.md)")
    return value.rstrip("/")


def ask(tmp_path: Path, lines: Sequence[Line], base_url: str, provider: str, **settings: Any) -> Outcome:
    """One run in this process, at most eight at a time."""
    job = tmp_path / "job.jsonl"
    job.write_text("".join(json.dumps(line) + "\n" for line in lines))
    values = {"provider": provider, "base_url": base_url, "model": MODEL, "concurrency": 8, **settings}
    run = Run(assembly.parts(Configuration(checked(values, {}), {}), job, tmp_path / "out", command="batchllm run"))
    run.prepare()
    try:
        asyncio.run(supervise(run, signals=False))
    finally:
        summary = run.conclude()
    return Outcome(summary, tmp_path / "out", {}, 0.0)


def honest(outcome: Outcome, count: int) -> list[dict[str, Any]]:
    """Every line has one record, and one that says `truncated` was cut by the server's own word, and no other was.

    Random weights end an answer before it began now and then: that is `bad_response`, after one more try.
    """
    every = [*outcome.results, *outcome.errors]
    assert len({record["custom_id"] for record in every}) == len(every) == count, outcome.summary["ended"]
    assert outcome.counts[2] == 0
    for record in every:
        code = record["error"]["code"] if record["error"] else None
        assert code in (None, "truncated") or "empty answer" in record["error"]["message"], record["error"]
        assert (code == "truncated") is cut(record["response"]["body"]), record
    return every


def cut(body: dict[str, Any]) -> bool:
    if body["object"] == "response":
        return bool(body["status"] == "incomplete")
    return any(choice["finish_reason"] == "length" for choice in body["choices"][:1])


def usage_of(body: dict[str, Any]) -> tuple[int, int]:
    """The server's word: prompt and completion tokens."""
    usage = body["usage"]
    return usage.get("prompt_tokens", usage.get("input_tokens")), usage.get("completion_tokens", usage.get("output_tokens", 0))


def told(record: dict[str, Any]) -> tuple[int, int]:
    """Our word on the last attempt: what the line was billed in all, less the answers that were rejected before."""
    usage, earlier = record["batchllm"]["usage"], record["batchllm"].get("rejected_usage") or {}
    prompt, completion = (usage[name] - (earlier.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
    return prompt, completion


def talked(outcome: Outcome, count: int, turns: int) -> None:
    """Every conversation has an answer to each turn or the word which one failed, and its bill is the sum of its turns'."""
    every = [*outcome.results, *outcome.errors]
    assert len({record["custom_id"] for record in every}) == len(every) == count, outcome.summary["ended"]
    assert outcome.results, outcome.summary["failures"]
    for record in outcome.errors:
        assert re.match(rf"turn [1-{turns}] of {turns}: ", record["error"]["message"]), record["error"]
    for record in outcome.results:
        facts = record["batchllm"]
        assert len(facts["turns"]) == turns
        assert facts["turns"][-1]["reply"] == record["response"]["body"]
        told = [usage_of(turn["reply"]) for turn in facts["turns"]]
        assert [prompt for prompt, _ in told] == sorted({prompt for prompt, _ in told})  # each turn has those before it in it
        if facts["attempts"] == turns:  # no empty answer was asked for again
            assert facts["usage"]["prompt_tokens"] == sum(prompt for prompt, _ in told)
            assert facts["usage"]["completion_tokens"] == sum(completion for _, completion in told)


def counters(base_url: str) -> dict[str, float]:
    """vLLM's own books: tokens and finished requests since it was started, whoever asked."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/metrics", timeout=10) as reply:
        text = reply.read().decode()
    found: dict[str, float] = {}
    for name, value in re.findall(
        r"^vllm:(prompt_tokens|generation_tokens|request_success)_total\{[^}]*\} ([0-9.e+]+)$", text, re.M
    ):
        found[name] = found.get(name, 0.0) + float(value)
    return found
