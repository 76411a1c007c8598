"""Spans and metrics by OpenTelemetry's GenAI conventions, collected in memory."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from batchllm.errors import ErrorCode
from batchllm.types import Request
from batchllm.watching.conventions import operation, provider_name, request_attributes
from batchllm.watching.telemetry import Telemetry
from tests.unit.watching.looked_at import BODY, Asked, done, note, run_at, summary


def told(
    *steps: Any, content: bool = False, item: Asked | None = None, code: int = 0
) -> tuple[list[ReadableSpan], dict[str, Any]]:
    """The spans of these steps and of their run, and the points of every metric."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    traces = TracerProvider(shutdown_on_exit=False)
    traces.add_span_processor(SimpleSpanProcessor(spans))
    telemetry = Telemetry(traces, MeterProvider([reader], shutdown_on_exit=False), content=content)
    telemetry.started(run_at())
    for one in steps:
        telemetry.step(one, item or Asked())  # type: ignore[arg-type]
    data = reader.get_metrics_data()
    telemetry.finished(summary(), code)
    resources = data.resource_metrics if data is not None else []
    metrics = {metric.name: metric for one in resources for scope in one.scope_metrics for metric in scope.metrics}
    return list(spans.get_finished_spans()), metrics


def test_an_answer_is_a_span_with_the_conventions_attributes() -> None:
    (span, _), _ = told(done())
    assert (span.name, span.kind, span.status.status_code) == ("chat m", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time == 1_500_000_000
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "m-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 80,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 32,
        "gen_ai.usage.reasoning.output_tokens": 8,
        "server.address": "api.example.com",
        "server.port": 443,
        "http.response.status_code": 200,
        "batchllm.custom_id": "doc-7",
        "batchllm.line": 7,
        "batchllm.attempt": 2,
        "batchllm.cost_usd": 0.01,
    }


def test_every_gen_ai_name_is_one_that_opentelemetry_knows() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    spans, metrics = told(done(), note(), content=True)
    used = {name for span in spans for name in span.attributes or {} if name.startswith("gen_ai.")}
    assert used <= known
    points = [point for metric in metrics.values() for point in metric.data.data_points]
    assert {name for point in points for name in point.attributes if name.startswith("gen_ai.")} <= known


def test_each_attempt_is_a_span_and_one_that_failed_says_its_class() -> None:
    (first, second, run), _ = told(note(), done(ErrorCode.REFUSAL), code=1)
    assert [span.status.status_code for span in (first, second, run)] == [StatusCode.ERROR] * 3
    assert (first.attributes or {})["error.type"] == "rate_limited"
    assert (first.attributes or {})["http.response.status_code"] == 429
    assert (second.attributes or {})["error.type"] == "refusal"
    assert (run.name, (run.attributes or {})["batchllm.exit_code"]) == ("batchllm run", 1)
    assert len({span.context.trace_id for span in (first, second, run) if span.context}) == 3


@pytest.mark.parametrize("content", [False, True])
def test_prompts_and_answers_go_along_only_where_that_is_asked_for(content: bool) -> None:
    spans, _ = told(done(), note(), content=content)
    everything = "".join(span.to_json() for span in spans)
    assert ("a secret prompt" in everything) is content
    assert ("an answer" in everything) is content


def test_tokens_and_durations_are_histograms_with_the_conventions_buckets() -> None:
    _, metrics = told(done(), done(ErrorCode.REFUSAL), note())
    assert (metrics["gen_ai.client.token.usage"].unit, metrics["gen_ai.client.operation.duration"].unit) == ("{token}", "s")
    tokens = {point.attributes["gen_ai.token.type"]: point for point in metrics["gen_ai.client.token.usage"].data.data_points
              if "error.type" not in point.attributes}  # fmt: skip
    assert (tokens["input"].sum, tokens["output"].sum) == (80, 20)
    assert tokens["input"].explicit_bounds[:3] == (1, 4, 16)
    durations = {
        point.attributes.get("error.type"): point for point in metrics["gen_ai.client.operation.duration"].data.data_points
    }
    assert (durations[None].sum, durations["rate_limited"].sum) == (1.5, 0.2)
    assert durations[None].explicit_bounds[-1] == 81.92
    assert "batchllm.custom_id" not in durations[None].attributes


@pytest.mark.parametrize(
    ("url", "name"),
    [("/v1/chat/completions", "chat"), ("/v1/responses", "chat"), ("/v1/completions", "text_completion"),
     ("/v1/embeddings", "embeddings"), ("/v1/moderations", "moderations")],
)  # fmt: skip
def test_the_operation_is_named_after_the_path(url: str, name: str) -> None:
    assert operation(url) == name
    spans, _ = told(done(), item=Asked(Request(7, "doc-7", url, BODY, "d" * 32)))
    assert spans[0].name == f"{name} m"


def test_providers_have_their_well_known_names() -> None:
    assert [provider_name(one) for one in ("azure", "gemini", "mistral", "dashscope")] == [
        "azure.ai.openai", "gcp.gemini", "mistral_ai", "dashscope",
    ]  # fmt: skip


def test_parameters_of_a_wrong_type_are_left_out() -> None:
    body = {"temperature": "hot", "max_tokens": None, "n": 1, "stop": [1], "seed": True, "stream": "yes"}
    assert request_attributes(body) == {}
    assert request_attributes({"n": 2, "stop": "x", "stream": True, "response_format": {"type": "json_schema"}}) == {
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ["x"],
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "json",
    }
