"""What the client carries: stubs and gRPC."""

import importlib.util

import pytest

import athanor.client.client  # noqa: F401 - its sandbox is what is looked at
import flight_delay.v1.flight_delay_pb2_grpc  # noqa: F401


@pytest.mark.parametrize("library", ["numpy", "onnxruntime", "pandas", "ray", "athanor.contract.columns"])
def test_the_client_does_not_carry(library: str) -> None:
    assert importlib.util.find_spec(library) is None
