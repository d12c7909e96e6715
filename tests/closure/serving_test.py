"""What serving carries: nothing that only training, data or the registry need."""

import importlib.util

import pytest

import athanor.serving.replica  # noqa: F401 - its sandbox is what is looked at
import athanor.serving.service  # noqa: F401


@pytest.mark.parametrize("library", ["deltalake", "mlflow", "pandas", "pyarrow", "skl2onnx", "sklearn"])
def test_serving_does_not_carry(library: str) -> None:
    assert importlib.util.find_spec(library) is None
