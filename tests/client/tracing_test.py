"""A caller's trace continues in the service."""

import subprocess
import sys
from typing import Final

from client.scripted import ScriptedService
from opentelemetry import (
    propagate,  # noqa: F401 - as a tracing caller imports it
    trace,
)
from opentelemetry.sdk.trace import TracerProvider
from support.commands import environment
from support.flights import make_flight

from athanor.client.client import Client

_IMPORTED: Final = "import sys, athanor.client.aio, athanor.client.client; print('opentelemetry' in sys.modules)"


def test_the_current_span_is_sent(client: Client, service: ScriptedService) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
        client.predict([make_flight()])
        list(client.predict_many([make_flight()] * 4, batch_rows=2))
    context = span.get_span_context()
    expected = [trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)]
    assert [metadata["traceparent"].split("-")[1:3] for metadata in service.metadata] == [expected] * 3


def test_without_a_span_nothing_is_sent(client: Client, service: ScriptedService) -> None:
    client.predict([make_flight()])
    assert "traceparent" not in service.metadata[0]


def test_the_client_itself_imports_no_tracing() -> None:
    command = [sys.executable, "-c", _IMPORTED]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
