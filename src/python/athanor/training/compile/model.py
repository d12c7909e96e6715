"""Compiles features, pipeline, calibration and doubt to one ONNX graph: contract columns in, answer columns out."""

import json
from typing import Any, Final

from onnx import ModelProto, TensorProto, compose, helper, inliner

from athanor.features.features import Model
from athanor.release.graph import CATEGORICAL, NUMERIC
from athanor.release.manifest import Calibration, Intervals, Sets, Temperature
from athanor.training.compile.answers import append_answers, read_classes
from athanor.training.compile.nodes import ML_DOMAIN
from athanor.training.compile.pipeline import convert_pipeline

# The newest version of which skl2onnx has no replaced operators.
_ML_OPSET: Final = 3
_PREFIX: Final = "pipeline/"
_RAW: Final = "raw"


def compile_model(
    model: Model,
    pipeline: Any,
    calibration: Calibration | Temperature | None = None,
    doubt: Intervals | Sets | None = None,
) -> bytes:
    """The ONNX graph of a model.

    Args:
        pipeline: a fitted estimator of its features; a classifier of encoded labels (false and true as 0 and 1, a
            category as its position) if the label is a class, a regressor if it is a number.
        calibration: of its probabilities.
        doubt: intervals or sets around its answers. Without it, the answer lacks their columns.

    Returns:
        Bytes of a graph with the inputs of `GraphInputs`, and the outputs and names that `athanor.release.graph.Graph`
        reads. Equal models have equal bytes.

    Raises:
        ContractError: the pipeline does not fit the label, or has estimators that would answer otherwise in a graph.
    """
    names = {NUMERIC: model.features.numeric, CATEGORICAL: model.features.categorical}
    classes = read_classes(model.contract, pipeline)
    features = inliner.inline_local_functions(ModelProto.FromString(model.graph))
    versions = {opset.domain: opset.version for opset in features.opset_import}
    widths = {name: len(of_kind) for name, of_kind in names.items()}
    ml_opset = versions.get(ML_DOMAIN, _ML_OPSET)
    merged = _merge(features, convert_pipeline(pipeline, widths, versions[""], _ML_OPSET), ml_opset)
    answers = append_answers(merged, _RAW, model.contract, classes, calibration, doubt)
    helper.set_model_props(merged, {name: json.dumps(of_kind) for name, of_kind in {**names, **answers}.items()})
    # Each part brings its own, skl2onnx in an order that depends on PYTHONHASHSEED.
    del merged.opset_import[:]
    merged.opset_import.extend([helper.make_opsetid("", versions[""]), helper.make_opsetid(ML_DOMAIN, ml_opset)])
    return bytes(merged.SerializeToString(deterministic=True))


def _merge(features: ModelProto, pipeline: ModelProto, ml_opset: int) -> ModelProto:
    """Feeds the outputs of the features to the inputs of the pipeline, and keeps them as outputs.

    The pipeline's last output becomes the tensor `raw`, float64.
    """
    for part in (features, pipeline):
        part.ir_version = features.ir_version
        _declare(part, ML_DOMAIN, ml_opset)
    prefixed = compose.add_prefix(pipeline, _PREFIX)
    raw = prefixed.graph.output[-1]
    merged = compose.merge_models(
        features,
        prefixed,
        io_map=[(each.name.removeprefix(_PREFIX), each.name) for each in prefixed.graph.input],
        outputs=[*(output.name for output in features.graph.output), raw.name],
        name="athanor",
        producer_name="athanor",
    )
    del merged.graph.output[-1]
    merged.graph.node.append(helper.make_node("Cast", [raw.name], [_RAW], to=TensorProto.DOUBLE))
    return merged


def _declare(model: ModelProto, domain: str, version: int) -> None:
    """Declares a newer version of operators that have not changed since."""
    kept = [opset for opset in model.opset_import if opset.domain != domain]
    del model.opset_import[:]
    model.opset_import.extend([*kept, helper.make_opsetid(domain, version)])
