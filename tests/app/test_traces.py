"""Spans, as a collector receives them."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from starlette.testclient import TestClient

from app.checks import check_start
from app.main import create_app
from app.settings import Settings
from app.traces import Traces, trace_id
from models.errors import InputError, ReparamError
from tests.app.test_observation import PARENT, TRACE


@contextmanager
def collector(service: str = "reparam", status: int = 200) -> Iterator[tuple[str, list[Span]]]:
    """Its address, and the spans that it was sent."""
    spans: list[Span] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            for resource in sent.resource_spans:
                names = {a.key: a.value.string_value for a in resource.resource.attributes}
                assert names["service.name"] == service
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _attributes(span: Span) -> dict[str, object]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_a_request_is_a_span_under_the_callers_and_its_stages_are_under_it(seven: bytes) -> None:
    with collector() as (url, spans):
        with TestClient(create_app(Settings(models="mnist-mlp", otlp_endpoint=url))) as client:
            answer = client.post("/v1/encode", files={"images": seven}, headers={"traceparent": PARENT})
            assert answer.status_code == 200
        # The stop has sent them.
        (request,) = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
        stages = [span for span in spans if span is not request]
    assert request.name == "POST /v1/encode"
    assert request.trace_id.hex() == TRACE and request.parent_span_id.hex() == "00f067aa0ba902b7"
    told = _attributes(request)
    assert (told["reparam.operation"], told["reparam.model"]) == ("encode", "mnist-mlp")
    assert (told["http.response.status_code"], told["http.route"]) == (200, "/v1/encode")
    assert told["reparam.request_id"] == answer.headers["x-request-id"]
    assert request.status.code == Status.STATUS_CODE_UNSET
    assert {"read", "preprocess", "encode"} <= {span.name for span in stages}
    for span in stages:
        assert (span.trace_id, span.parent_span_id) == (request.trace_id, request.span_id)
        assert request.start_time_unix_nano <= span.start_time_unix_nano + 1_000_000
        assert span.start_time_unix_nano < span.end_time_unix_nano <= request.end_time_unix_nano


def test_the_environment_says_what_the_service_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=9,deployment.environment=prod")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with collector("mine") as (url, spans):
        traces = Traces(url)
        given = dict(traces._provider.resource.attributes)
        assert (given["service.version"], given["deployment.environment"]) == ("9", "prod")
        traces.end(traces.start("GET", b"", b""), "GET", {}, [], failed=False)
        traces.close()
    assert len(spans) == 1


def test_where_traces_are_turned_off_requests_have_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    traces = Traces("http://127.0.0.1:1")
    assert trace_id(traces.start("GET", b"", b"")) is None
    assert trace_id(traces.start("GET", PARENT.encode(), b"")) == TRACE


def test_an_unexpected_error_marks_the_span() -> None:
    def broken() -> None:
        raise RuntimeError

    with collector() as (url, spans):
        app = create_app(Settings(models="mnist-mlp", otlp_endpoint=url))
        app.add_api_route("/broken", broken)
        with TestClient(app) as client:
            client.get("/broken")
    (span,) = spans
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert _attributes(span)["error.type"] == "internal-server-error"


def test_a_caller_that_does_not_sample_is_obeyed() -> None:
    with collector() as (url, spans):
        app = create_app(Settings(models="mnist-mlp", otlp_endpoint=url))
        with TestClient(app) as client:
            client.get("/healthz", headers={"traceparent": PARENT.removesuffix("01") + "00"})
            client.get("/readyz")
    assert [span.name for span in spans if span.kind == Span.SPAN_KIND_SERVER] == ["GET /readyz"]


@pytest.mark.parametrize("status", [None, 400, 503])
def test_a_collector_that_fails_harms_no_request_and_no_stop(status: int | None) -> None:
    with collector(status=status or 200) as (url, _):
        broken = url if status else "http://127.0.0.1:1"
        began = time.monotonic()
        with TestClient(create_app(Settings(models="mnist-mlp", otlp_endpoint=broken))) as client:
            assert client.get("/v1/sample").status_code == 200
            asked = time.monotonic()
        assert time.monotonic() - asked < 10 and asked > began


def test_without_the_extra_the_start_fails_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with pytest.raises(ReparamError, match=r"REPARAM_OTLP_ENDPOINT.*extra otel"):
        check_start(Settings(models="mnist-mlp", otlp_endpoint="http://127.0.0.1:4318"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "abc", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a non-negative integer"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000", "max_export_batch_size must be less than or equal"),
    ],
)
def test_variables_that_cannot_be_followed_fail_the_start_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"^traces: expected OTEL_ variables that can be followed, found: {told}"):
        check_start(Settings(models="mnist-mlp", otlp_endpoint="http://127.0.0.1:4318"))


def test_left_out_nothing_of_it_is_imported() -> None:
    program = (
        "import sys; from starlette.testclient import TestClient; from app.main import create_app;"
        "from app.settings import Settings\n"
        "with TestClient(create_app(Settings(models='mnist-mlp'))) as client: client.get('/healthz')\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    end = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert end.stdout.strip() == "[]"
