"""Compiles features, pipeline and calibration to one ONNX graph: contract columns in, probabilities out."""

import json
from typing import Any, Final

from onnx import ModelProto, compose, helper, inliner

from athanor.features.features import Model
from athanor.release.graph import CATEGORICAL, NUMERIC, PROBABILITIES
from athanor.release.manifest import Calibration
from athanor.training.compile.calibration import append_calibration, rename_output
from athanor.training.compile.pipeline import ML_DOMAIN, convert_pipeline

# The newest version of which skl2onnx has no replaced operators.
_ML_OPSET: Final = 3
_PREFIX: Final = "pipeline/"


def compile_model(model: Model, pipeline: Any, calibration: Calibration | None = None) -> bytes:
    """The ONNX graph of a model.

    Args:
        pipeline: a fitted classifier of its features.
        calibration: of the probabilities.

    Returns:
        Bytes of a graph with the inputs of `GraphInputs`, and the outputs and names that `athanor.release.graph.Graph`
        reads. Equal models have equal bytes.
    """
    names = {NUMERIC: model.features.numeric, CATEGORICAL: model.features.categorical}
    features = inliner.inline_local_functions(ModelProto.FromString(model.graph))
    versions = {opset.domain: opset.version for opset in features.opset_import}
    widths = {name: len(of_kind) for name, of_kind in names.items()}
    ml_opset = versions.get(ML_DOMAIN, _ML_OPSET)
    merged = _merge(features, convert_pipeline(pipeline, widths, versions[""], ml_opset), ml_opset)
    if calibration is not None:
        append_calibration(merged, calibration)
    helper.set_model_props(merged, {name: json.dumps(of_kind) for name, of_kind in names.items()})
    # Each part brings its own, skl2onnx in an order that depends on PYTHONHASHSEED.
    del merged.opset_import[:]
    merged.opset_import.extend([helper.make_opsetid("", versions[""]), helper.make_opsetid(ML_DOMAIN, ml_opset)])
    return bytes(merged.SerializeToString(deterministic=True))


def _merge(features: ModelProto, pipeline: ModelProto, ml_opset: int) -> ModelProto:
    """Feeds the outputs of the features to the inputs of the pipeline, and keeps them as outputs."""
    for part in (features, pipeline):
        part.ir_version = features.ir_version
        _declare(part, ML_DOMAIN, ml_opset)
    prefixed = compose.add_prefix(pipeline, _PREFIX)
    outputs = [output.name for output in features.graph.output]
    merged = compose.merge_models(
        features,
        prefixed,
        io_map=[(each.name.removeprefix(_PREFIX), each.name) for each in prefixed.graph.input],
        outputs=[*outputs, _PREFIX + PROBABILITIES],
        name="athanor",
        producer_name="athanor",
    )
    rename_output(merged, _PREFIX + PROBABILITIES, PROBABILITIES)
    merged.graph.output[-1].name = PROBABILITIES
    return merged


def _declare(model: ModelProto, domain: str, version: int) -> None:
    """Declares a newer version of operators that have not changed since."""
    kept = [opset for opset in model.opset_import if opset.domain != domain]
    del model.opset_import[:]
    model.opset_import.extend([*kept, helper.make_opsetid(domain, version)])
