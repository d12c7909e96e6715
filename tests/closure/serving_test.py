"""What serving carries: nothing that only training, data or the registry need."""

import importlib.util

import pytest

import athanor.serving.replica
import athanor.serving.service


@pytest.mark.parametrize("library", ["deltalake", "mlflow", "pandas", "pyarrow", "skl2onnx", "sklearn"])
def test_serving_does_not_carry(library: str) -> None:
    assert athanor.serving.replica
    assert athanor.serving.service
    assert importlib.util.find_spec(library) is None
