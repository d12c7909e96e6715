"""What the client carries: stubs and gRPC."""

import importlib.util

import pytest

import athanor.client.aio
import athanor.client.client
import athanor.client.jobs  # noqa: F401 - their sandbox is what is looked at
import flight_delay.v1.flight_delay_pb2_grpc  # noqa: F401


@pytest.mark.parametrize(
    "library",
    ["cryptography", "numpy", "onnxruntime", "opentelemetry", "pandas", "ray", "athanor.contract.columns"],
)
def test_the_client_does_not_carry(library: str) -> None:
    assert importlib.util.find_spec(library) is None
