"""Compiles a fitted pipeline to ONNX and proves that the graph answers as the pipeline does."""

from typing import Any, Final

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from athanor.errors import GateError
from athanor.features.features import FeatureArrays
from athanor.release.predictor import TOLERANCE, Graph

_OPSET: Final = 18


def compile_pipeline(pipeline: Any, features: FeatureArrays) -> bytes:
    """The ONNX graph of a fitted classifier.

    Args:
        features: any; only their widths are looked at.

    Returns:
        Bytes of a graph with the inputs `numeric` (float32) and `categorical` (text), those of them that have columns,
        and the output `probabilities` of shape (n, 2).
    """
    inputs = [
        ("numeric", FloatTensorType([None, features.numeric.shape[1]])),
        ("categorical", StringTensorType([None, features.categorical.shape[1]])),
    ]
    graph = convert_sklearn(
        pipeline,
        name="athanor",
        initial_types=[(name, kind) for name, kind in inputs if kind.shape[1]],
        options={"zipmap": False},
        target_opset=_OPSET,
    )
    # They come out of a set: their order would change with PYTHONHASHSEED, and the release's digest with it.
    graph.opset_import.sort(key=lambda opset: opset.domain)
    return bytes(graph.SerializeToString(deterministic=True))


def demand_parity(content: bytes, pipeline: Any, frame: Any, features: FeatureArrays) -> float:
    """The largest difference between probabilities of graph and pipeline on the same rows.

    Args:
        frame, features: the same rows, for the pipeline and for the graph.

    Raises:
        GateError: it is larger than `TOLERANCE`.
    """
    difference = np.abs(Graph(content).predict_probability(features) - pipeline.predict_proba(frame)[:, 1])
    worst = int(np.argmax(difference))
    if not difference[worst] <= TOLERANCE:
        raise GateError(
            f"graph and pipeline differ by {difference[worst]:.3g} in row {worst}, allowed are {TOLERANCE:g}; "
            "choose an estimator that compiles exactly"
        )
    return float(difference[worst])
