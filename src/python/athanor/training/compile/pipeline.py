"""Converts a fitted pipeline to an ONNX graph of its own."""

from functools import partial
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, version_converter
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.base import is_classifier

from athanor.errors import ContractError
from athanor.release.graph import CATEGORICAL, NUMERIC
from athanor.training.compile.converter import Conversion, Library, Values
from athanor.training.compile.light_gbm import LIGHT_GBM
from athanor.training.compile.nodes import ML_DOMAIN, Nodes
from athanor.training.compile.scikit_learn import SCIKIT_LEARN
from athanor.training.compile.steps import find_last, walk, widen

_LIBRARIES: Final[tuple[Library, ...]] = (SCIKIT_LEARN, LIGHT_GBM)


def convert_pipeline(pipeline: Any, widths: dict[str, int], opset: int, ml_opset: int) -> ModelProto:
    """The ONNX model of a fitted estimator.

    Transformers compute in the type of their input, float32 at first, as scikit-learn's do. The last step computes in
    float64.

    Args:
        widths: number of numeric and of categorical features, by the name of their input.
        opset, ml_opset: versions of the operators of ONNX, and of its machine-learning part.

    Returns:
        A model with the inputs `numeric` (float32) and `categorical` (text), omitting one without columns. Its last
        output has the probabilities of the classes, or numbers, of shape (n, columns).

    Raises:
        ContractError: estimators would answer otherwise than they were fitted to. All are listed.
    """
    conversions = {kind: each for library in _LIBRARIES for kind, each in library.conversions.items()}
    last = find_last(pipeline)
    problems = [
        problem
        for each in walk(pipeline, tuple(conversions))
        for library in _LIBRARIES
        for problem in library.list_refusals(each, each is last)
    ]
    if problems:
        raise ContractError("; ".join(dict.fromkeys(problems)))
    inputs = [(NUMERIC, FloatTensorType), (CATEGORICAL, StringTensorType)]
    model = convert_sklearn(
        widen(pipeline, tuple(conversions)),
        name="athanor",
        initial_types=[(name, kind([None, widths[name]])) for name, kind in inputs if widths[name]],
        # Without an entry skl2onnx adds one of its own, which an estimator that it does not know refuses.
        options={id(last): {"zipmap": False} if is_classifier(last) and type(last) not in conversions else {}},
        target_opset={"": opset, ML_DOMAIN: ml_opset},
        custom_parsers={kind: partial(_parse, each) for kind, each in conversions.items()},
        custom_shape_calculators={kind: partial(_infer, each) for kind, each in conversions.items()},
        custom_conversion_functions={kind: partial(_convert, each) for kind, each in conversions.items()},
    )
    # skl2onnx declares the oldest version that has all operators used.
    return version_converter.convert_version(model, opset)


class _ScopeNodes(Nodes):
    """Adds to a conversion by skl2onnx."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def _make_name(self, hint: str) -> str:
        return str(self._scope.get_unique_variable_name(hint.lower()))

    def _append(self, node: NodeProto) -> None:
        self._container.nodes.append(node)
        version = self._container.target_opset_any_domain(node.domain)
        self._container.node_domain_version_pair_sets.add((node.domain, version))

    def _append_constant(self, tensor: TensorProto) -> None:
        self._container.initializers.append(tensor)


def _parse(
    conversion: Conversion, scope: Any, estimator: Any, inputs: list[Any], custom_parsers: Any = None
) -> list[Any]:
    """Declares the outputs of an estimator of ours to skl2onnx: as its own parsers do, without a map of classes."""
    operator = scope.declare_local_operator(f"Athanor{type(estimator).__name__}", estimator)
    operator.inputs = inputs
    if hasattr(estimator, "predict_proba"):
        operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("output", _choose_type(conversion, inputs[0])()))
    return list(operator.outputs)


def _choose_type(conversion: Conversion, given: Any) -> Any:
    return type(given.type) if conversion.keeps_type else DoubleTensorType


def _infer(conversion: Conversion, operator: Any) -> None:
    """Declares the types and shapes of the outputs."""
    rows = operator.inputs[0].get_first_dimension()
    kind = _choose_type(conversion, operator.inputs[0])
    *labels, output = operator.outputs
    output.type = kind([rows, conversion.width(operator.raw_operator)])
    for label in labels:
        label.type = Int64TensorType([rows])


def _convert(conversion: Conversion, scope: Any, operator: Any, container: Any) -> None:
    nodes = _ScopeNodes(scope, container)
    kinds = {type(each.type) for each in operator.inputs}
    if len(kinds) > 1:
        raise ContractError(
            f"{type(operator.raw_operator).__name__} takes numeric and categorical features at once; give it those of "
            "one kind"
        )
    values = Values(
        nodes.concat([each.full_name for each in operator.inputs]),
        sum(each.get_second_dimension() for each in operator.inputs),
        is_text=kinds == {StringTensorType},
        is_double=kinds == {DoubleTensorType},
    )
    result = conversion.convert(nodes, operator.raw_operator, values)
    *labels, output = operator.outputs
    nodes.add("Identity", result, output=output.full_name)
    for label in labels:
        classes = nodes.constant(operator.raw_operator.classes_, np.int64)
        best = nodes.add("ArgMax", result, axis=1, keepdims=0)
        nodes.add("Gather", classes, best, output=label.full_name, axis=0)
