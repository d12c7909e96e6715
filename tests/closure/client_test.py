"""What the client carries: stubs and gRPC."""

import importlib.util

import pytest

import athanor.client.client
import flight_delay.v1.flight_delay_pb2_grpc


@pytest.mark.parametrize("library", ["numpy", "onnxruntime", "pandas", "ray", "athanor.contract.columns"])
def test_the_client_does_not_carry(library: str) -> None:
    assert athanor.client.client
    assert flight_delay.v1.flight_delay_pb2_grpc
    assert importlib.util.find_spec(library) is None
