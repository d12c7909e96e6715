"""What serving carries: nothing that only training, data or the registry need."""

import importlib.util

import pytest

from athanor.serving import replica, service  # noqa: F401 - their sandbox is what is looked at


@pytest.mark.parametrize("library", ["deltalake", "mlflow", "pandas", "pyarrow", "skl2onnx", "sklearn"])
def test_serving_does_not_carry(library: str) -> None:
    assert importlib.util.find_spec(library) is None
