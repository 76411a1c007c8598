"""The metrics file, read back by Prometheus' own parser."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from batchllm.tally import Histogram
from batchllm.watching.exposition import Moment, exposition, last_success
from batchllm.watching.facts import Recent
from batchllm.watching.metrics_file import MetricsFile
from tests.unit.watching.looked_at import summary

NASTY = 'a "quoted"\nname\\'
FACTS: dict[str, Any] = {
    "provider": "openai", "model": NASTY, "state": "running", "requests": 12,
    "request_counts": {"total": 10, "completed": 7, "failed": 1, "pending": 2, "invalid_lines": 0},
    "retries": {"rate_limited": 3}, "failures": {"refusal": 1},
    "usage": {"prompt_tokens": 80, "completion_tokens": 20, "total_tokens": 100, "cached_tokens": None},
    "cost_usd": 0.25, "in_flight": 4, "limit": 8, "waiting": 1,
}  # fmt: skip


def times(*seconds: float) -> Histogram:
    made = Histogram()
    for one in seconds:
        made.add(one)
    return made


def read(data: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(data.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_prometheus_reads_back_what_was_written() -> None:
    found = read(exposition(FACTS, times(1.0, 1.0, 3.0), Moment(100.0, 160.5), "extract"))
    assert found["batchllm_run_active"] == [({"batch": "extract"}, 1.0)]
    assert found["batchllm_run_info"] == [({"batch": "extract", "provider": "openai", "model": NASTY}, 1.0)]
    assert {labels["state"]: value for labels, value in found["batchllm_lines"]} == {"completed": 7, "failed": 1, "pending": 2}
    assert {labels["type"]: value for labels, value in found["batchllm_tokens_total"]} == {"prompt": 80, "completion": 20}
    assert found["batchllm_retries_total"] == [({"batch": "extract", "code": "rate_limited"}, 3.0)]
    assert found["batchllm_cost_usd_total"][0][1] == 0.25
    assert found["batchllm_updated_timestamp_seconds"][0][1] == 160.5
    assert found["batchllm_request_duration_seconds_count"][0][1] == 3
    assert abs(found["batchllm_request_duration_seconds_sum"][0][1] - 5.0) < 0.15
    assert "batchllm_run_exit_code" not in found


def test_every_metric_has_its_help_and_type_and_counters_end_in_total() -> None:
    data = exposition(FACTS, times(1.0), Moment(1.0, 2.0, 0, 2.0), "extract").decode()
    for family in text_string_to_metric_families(data):
        assert family.documentation
        assert family.type in ("gauge", "counter", "summary")
        counted = any(sample.name.endswith("_total") for sample in family.samples)
        assert counted == (family.type == "counter")


def test_the_end_says_the_exit_code_and_a_success_is_remembered_over_a_failure() -> None:
    good = exposition(FACTS, times(), Moment(1.0, 2.0, 0, 2.0), "extract")
    assert read(good)["batchllm_run_exit_code"][0][1] == 0
    assert last_success(good) == 2.0
    assert last_success(b"batchllm_last_success_timestamp_seconds 1.7e+09\n") == 1.7e9
    assert last_success(b"rubbish") is None


def test_a_refused_run_still_leaves_its_exit_code_and_another_users_exporter_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "extract.prom"
    path.write_bytes(exposition({}, times(), Moment(1.0, 2.0, 0, 5.0), "extract"))
    MetricsFile(path, "extract", Recent()).finished(summary(), 65)
    found = read(path.read_bytes())
    assert found["batchllm_run_exit_code"][0][1] == 65
    assert found["batchllm_last_success_timestamp_seconds"][0][1] == 5.0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["extract.prom"]
    assert b"secret" not in path.read_bytes()


def test_a_file_that_cannot_be_written_is_said_once(tmp_path: Path, capsys: Any) -> None:
    metrics = MetricsFile(tmp_path / "nowhere" / "x.prom", "extract", Recent())
    metrics.finished(summary(), 0)
    metrics.finished(summary(), 0)
    assert capsys.readouterr().err.count("cannot be written") == 1
