"""Compiles a fitted pipeline and its calibration to one ONNX graph."""

from typing import Any, Final

from onnx import ModelProto, TensorProto, helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from athanor.features.features import FeatureArrays
from athanor.release.manifest import Calibration
from athanor.training.evaluation.calibration import CLIP

_OPSET: Final = 18
_CLIPS_DOUBLES: Final = 12
_OUTPUT: Final = "probabilities"
_UNCALIBRATED: Final = "uncalibrated_probabilities"


def compile_pipeline(pipeline: Any, features: FeatureArrays, calibration: Calibration | None = None) -> bytes:
    """The ONNX graph of a fitted classifier.

    Args:
        features: any rows; only the widths matter.
        calibration: of the probabilities; becomes part of the graph.

    Returns:
        Bytes of a graph with the inputs `numeric` (float32) and `categorical` (text), omitting one without columns, and
        the output `probabilities` (float32) of shape (n, 2).
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
    if calibration is not None:
        _append(graph, calibration)
    # skl2onnx takes them from a set: without sorting, the release digest would depend on PYTHONHASHSEED.
    graph.opset_import.sort(key=lambda opset: opset.domain)
    return bytes(graph.SerializeToString(deterministic=True))


def _append(model: ModelProto, calibration: Calibration) -> None:
    """Inserts nodes that compute `apply_calibration` before the output."""
    for node in model.graph.node:
        node.output[:] = [_UNCALIBRATED if name == _OUTPUT else name for name in node.output]
        node.input[:] = [_UNCALIBRATED if name == _OUTPUT else name for name in node.input]
    numbers = {
        "calibration_low": CLIP,
        "calibration_high": 1 - CLIP,
        "calibration_one": 1.0,
        "calibration_slope": calibration.slope,
        "calibration_intercept": calibration.intercept,
    }
    model.graph.initializer.extend(
        helper.make_tensor(name, TensorProto.DOUBLE, [], [value]) for name, value in numbers.items()
    )
    model.graph.initializer.append(helper.make_tensor("calibration_position", TensorProto.INT64, [1], [1]))
    # In double precision: log-odds near 0 and 1 would lose digits.
    # A graph of old operators alone gets an old opset, in which onnxruntime clips no doubles.
    opset = next(each.version for each in model.opset_import if not each.domain)
    limits = ["calibration_low", "calibration_high"]
    clip: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
        (("Clip", ["calibration_double", *limits], "calibration_clipped", {}),)
        if opset >= _CLIPS_DOUBLES
        else (
            ("Max", ["calibration_double", limits[0]], "calibration_raised", {}),
            ("Min", ["calibration_raised", limits[1]], "calibration_clipped", {}),
        )
    )
    steps: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
        ("Gather", [_UNCALIBRATED, "calibration_position"], "calibration_raw", {"axis": 1}),
        ("Cast", ["calibration_raw"], "calibration_double", {"to": TensorProto.DOUBLE}),
        *clip,
        ("Sub", ["calibration_one", "calibration_clipped"], "calibration_rest", {}),
        ("Log", ["calibration_clipped"], "calibration_log", {}),
        ("Log", ["calibration_rest"], "calibration_log_rest", {}),
        ("Sub", ["calibration_log", "calibration_log_rest"], "calibration_odds", {}),
        ("Mul", ["calibration_odds", "calibration_slope"], "calibration_scaled", {}),
        ("Add", ["calibration_scaled", "calibration_intercept"], "calibration_score", {}),
        ("Sigmoid", ["calibration_score"], "calibration_positive", {}),
        ("Sub", ["calibration_one", "calibration_positive"], "calibration_negative", {}),
        ("Concat", ["calibration_negative", "calibration_positive"], "calibration_both", {"axis": 1}),
        ("Cast", ["calibration_both"], _OUTPUT, {"to": TensorProto.FLOAT}),
    )
    model.graph.node.extend(
        helper.make_node(kind, inputs, [output], name=output, **attributes)
        for kind, inputs, output, attributes in steps
    )
