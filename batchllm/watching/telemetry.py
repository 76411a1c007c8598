"""OpenTelemetry by the GenAI conventions (extra `otel`): a span for each request, token and duration histograms.

Names follow the released conventions (opentelemetry.io/docs/specs/semconv/gen-ai; their status is development).
Each request is a trace of its own, so that a sampler may choose among a million of them; the run has a span with its totals.
No prompt and no answer goes along, unless OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT asks for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from batchllm.errors import ExitCode
from batchllm.steps import Asked, Done
from batchllm.terminal import say
from batchllm.types import Json
from batchllm.watching.conventions import (
    DURATION_BUCKETS,
    TOKEN_BUCKETS,
    messages,
    operation,
    provider_name,
    request_attributes,
    response_attributes,
    usage_attributes,
)

if TYPE_CHECKING:
    from batchllm.pipeline import Run

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
LAST_WORD_S = 20.0
"""How long the end of a run waits for the collector to take what is left."""


def telemetry(environment: Mapping[str, str]) -> Telemetry:
    """Exports by OTLP over HTTP, as the variables OTEL_EXPORTER_OTLP_* say."""
    resource = Resource.create({} if _named(environment) else {"service.name": "batchllm"})
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    metrics = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    return Telemetry(
        traces, metrics, content=environment.get(CONTENT, "").lower() in ("true", "1", "span_only", "span_and_event")
    )


def _named(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("OTEL_SERVICE_NAME")) or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")


class Telemetry:
    """Makes spans and measurements of what a run's requests came to. The providers' own threads send them."""

    def __init__(self, traces: TracerProvider, metrics: MeterProvider, *, content: bool = False) -> None:
        self._traces, self._metrics, self._content = traces, metrics, content
        self._tracer = traces.get_tracer("batchllm")
        meter = metrics.get_meter("batchllm")
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )  # fmt: skip
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )  # fmt: skip
        self._common: Json = {}
        self._started_ns = time.time_ns()

    def started(self, run: Run) -> None:
        route = run.parts.route
        address = urlsplit(route.base_url)
        port = address.port or (443 if address.scheme == "https" else 80)
        self._common = {"gen_ai.provider.name": provider_name(route.provider.name)}
        if address.hostname:
            self._common |= {"server.address": address.hostname, "server.port": port}
        self._started_ns = time.time_ns()

    def step(self, came: Done | Json, item: Asked) -> None:
        done = isinstance(came, Done)
        facts: Json = came.record.facts if isinstance(came, Done) else came
        ended = time.time_ns()
        seconds = facts.get("latency_s") or 0.0
        # After a note the item's body is already the next request's; the line's own is this one's but for a complaint.
        body = item.body if done else item.request.body
        shared = {**self._common, "gen_ai.operation.name": operation(item.request.url)}
        if isinstance(body.get("model"), str):
            shared["gen_ai.request.model"] = body["model"]
        outcome = response_attributes(came)
        shared |= {name: outcome[name] for name in ("error.type", "gen_ai.response.model") if name in outcome}
        self._measure(shared, seconds, item)
        told = {**shared, **request_attributes(body), **outcome, **usage_attributes(item.last.usage)}
        if self._content:
            told |= messages(body, came)
        name = f"{shared['gen_ai.operation.name']} {shared.get('gen_ai.request.model', '')}".rstrip()
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=told, start_time=ended - int(seconds * 1e9))
        if "error.type" in outcome:
            span.set_status(Status(StatusCode.ERROR, outcome["error.type"]))
        span.end(ended)

    def _measure(self, shared: Mapping[str, Any], seconds: float, item: Asked) -> None:
        self._duration.record(seconds, shared)
        usage = item.last.usage
        if usage is None:
            return
        for kind, count in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
            if count is not None:
                self._tokens.record(count, {**shared, "gen_ai.token.type": kind})

    def finished(self, summary: Json, code: int) -> None:
        counts = summary.get("request_counts", {})
        told: Json = {"batchllm.job": summary["job"], "batchllm.exit_code": code}
        told |= {f"batchllm.lines.{name}": count for name, count in counts.items()}
        if summary.get("cost_usd") is not None:
            told["batchllm.cost_usd"] = summary["cost_usd"]
        span = self._tracer.start_span("batchllm run", kind=SpanKind.INTERNAL, attributes=told, start_time=self._started_ns)
        if code != ExitCode.OK:
            span.set_status(Status(StatusCode.ERROR, summary["ended"]["reason"]))
        span.end()
        self._shut_down()

    def _shut_down(self) -> None:
        """Have the last spans sent, for a bounded time: a collector that hangs keeps no run from its end."""

        def shut() -> None:
            self._traces.shutdown()
            self._metrics.shutdown()

        thread = threading.Thread(target=shut, name="batchllm-otel", daemon=True)
        thread.start()
        thread.join(LAST_WORD_S)
        if thread.is_alive():
            say(f"  note: the collector did not take the last spans within {LAST_WORD_S:.0f} s")
