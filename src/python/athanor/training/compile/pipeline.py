"""Converts a fitted pipeline to an ONNX graph of its own."""

from typing import Any

from onnx import ModelProto, version_converter
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from athanor.release.graph import CATEGORICAL, NUMERIC

ML_DOMAIN = "ai.onnx.ml"


def convert_pipeline(pipeline: Any, widths: dict[str, int], opset: int, ml_opset: int) -> ModelProto:
    """The ONNX model of a fitted classifier.

    Args:
        widths: number of numeric and of categorical features, by the name of their input.
        opset, ml_opset: versions of the operators of ONNX, and of its machine-learning part.

    Returns:
        A model with the inputs `numeric` (float32) and `categorical` (text), omitting one without columns, and the
        output `probabilities` (float32) of shape (n, 2) among others.
    """
    inputs = [(NUMERIC, FloatTensorType), (CATEGORICAL, StringTensorType)]
    model = convert_sklearn(
        pipeline,
        name="athanor",
        initial_types=[(name, kind([None, widths[name]])) for name, kind in inputs if widths[name]],
        options={"zipmap": False},
        target_opset={"": opset, ML_DOMAIN: ml_opset},
    )
    # skl2onnx declares the oldest version that has all operators used.
    return version_converter.convert_version(model, opset)
