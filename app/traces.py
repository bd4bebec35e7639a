"""Traces, to an OpenTelemetry collector by OTLP over HTTP: a span a request, with its stages as children.

Nothing of them is imported unless a collector is set: the packages come with the extra `otel`.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from threading import Thread
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from app.stages import Timing

FLUSH_S = 3  # at the stop, for what has not been sent
TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def parent_trace(traceparent: bytes) -> str | None:
    """The trace id of a `traceparent` header; None if the header is not valid. Source: W3C Trace Context, 3.2."""
    match = TRACEPARENT.fullmatch(traceparent)
    if match is None or (match[1] == b"00" and match[5]):
        return None
    return match[2].decode()


class Traces:
    """Makes spans, and sends them from a thread of its own: a collector that fails costs spans, never requests."""

    def __init__(self, endpoint: str) -> None:
        """
        Args:
            endpoint: the collector's address; spans go to its /v1/traces.
        """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        address = endpoint.rstrip("/")
        exporter = OTLPSpanExporter(address if address.endswith("/v1/traces") else f"{address}/v1/traces")
        # OTEL_RESOURCE_ATTRIBUTES and OTEL_TRACES_SAMPLER are read from the environment, as everywhere, and come first.
        ours = {SERVICE_NAME: "reparam", SERVICE_VERSION: version("reparam")}
        resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("reparam", version("reparam"))
        self._propagator = TraceContextTextMapPropagator()

    def start(self, method: str, traceparent: bytes, tracestate: bytes) -> Span:
        """Begin the span of a request, under the caller's own if the headers name one."""
        from opentelemetry.trace import SpanKind

        headers = {"traceparent": traceparent.decode("latin-1"), "tracestate": tracestate.decode("latin-1")}
        return self._tracer.start_span(method, self._propagator.extract(headers), SpanKind.SERVER)

    def end(self, span: Span, name: str, attributes: dict[str, Any], timings: list[Timing], failed: bool) -> None:
        """End it, with what is known now, and its stages as children."""
        if span.is_recording():
            from opentelemetry.trace import StatusCode, set_span_in_context

            now, clock = time_ns(), perf_counter()
            context = set_span_in_context(span)
            for stage, ended, seconds in timings:
                end = now - int((clock - ended) * 1e9)
                child = self._tracer.start_span(stage, context, start_time=end - int(seconds * 1e9))
                child.end(end)
            span.update_name(name)
            span.set_attributes({key: value for key, value in attributes.items() if value is not None})
            if failed:
                span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send what waits, for some seconds at most."""
        sender = Thread(target=self._provider.shutdown, daemon=True)
        sender.start()
        sender.join(FLUSH_S)


def trace_id(span: Span) -> str | None:
    """As the headers and the log write it; None where traces are off (OTEL_SDK_DISABLED)."""
    context = span.get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
