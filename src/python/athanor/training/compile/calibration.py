"""Calibration as nodes of an ONNX graph."""

from typing import Any, Final

from onnx import ModelProto, TensorProto, helper

from athanor.release.graph import PROBABILITIES
from athanor.release.manifest import Calibration
from athanor.training.evaluation.calibration import CLIP

_UNCALIBRATED: Final = "uncalibrated_probabilities"


def rename_output(model: ModelProto, old: str, new: str) -> None:
    """Renames what nodes compute, wherever nodes use it too."""
    for node in model.graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]


def append_calibration(model: ModelProto, calibration: Calibration) -> None:
    """Inserts nodes that compute `apply_calibration` before the output."""
    rename_output(model, PROBABILITIES, _UNCALIBRATED)
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
    steps: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
        ("Gather", [_UNCALIBRATED, "calibration_position"], "calibration_raw", {"axis": 1}),
        ("Cast", ["calibration_raw"], "calibration_double", {"to": TensorProto.DOUBLE}),
        ("Clip", ["calibration_double", "calibration_low", "calibration_high"], "calibration_clipped", {}),
        ("Sub", ["calibration_one", "calibration_clipped"], "calibration_rest", {}),
        ("Log", ["calibration_clipped"], "calibration_log", {}),
        ("Log", ["calibration_rest"], "calibration_log_rest", {}),
        ("Sub", ["calibration_log", "calibration_log_rest"], "calibration_odds", {}),
        ("Mul", ["calibration_odds", "calibration_slope"], "calibration_scaled", {}),
        ("Add", ["calibration_scaled", "calibration_intercept"], "calibration_score", {}),
        ("Sigmoid", ["calibration_score"], "calibration_positive", {}),
        ("Sub", ["calibration_one", "calibration_positive"], "calibration_negative", {}),
        ("Concat", ["calibration_negative", "calibration_positive"], "calibration_both", {"axis": 1}),
        ("Cast", ["calibration_both"], PROBABILITIES, {"to": TensorProto.FLOAT}),
    )
    model.graph.node.extend(
        helper.make_node(kind, inputs, [output], name=output, **attributes)
        for kind, inputs, output, attributes in steps
    )
