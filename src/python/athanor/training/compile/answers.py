"""From the outputs of an estimator to the answer of a contract, as nodes of an ONNX graph in float64.

Reads roles of columns and never asks for a task: `athanor.tasks` computes the same in numpy (`Task.finish`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from onnx import ModelProto, TensorProto, helper

from athanor.contract.columns import Column, Kind, Role
from athanor.contract.contract import Contract
from athanor.errors import ContractError
from athanor.release.graph import ANSWERS, CATEGORY
from athanor.release.manifest import Calibration, Intervals, Sets, Temperature
from athanor.tasks.calibration import CLIP
from athanor.training.compile.nodes import ModelNodes, Nodes

_FALSE_TRUE: Final = ("false", "true")


def append_answers(
    model: ModelProto,
    raw: str,
    contract: Contract,
    classes: Sequence[int] | None,
    calibration: Calibration | Temperature | None,
    doubt: Intervals | Sets | None,
) -> dict[str, tuple[str, ...]]:
    """Appends nodes and the outputs `answers` and `category`.

    Args:
        raw: a tensor of the graph, float64: the probabilities of the classes, or a number, of shape (n, columns).
        classes: labels of the columns of `raw`, as positions in the categories of the label; None for a number.

    Returns:
        The names of the columns of each output.
    """
    nodes = ModelNodes(model, "answer_")
    found = _compute(nodes, raw, contract, classes, calibration, doubt)
    listed = [column for column in contract.answer if column.name in found]
    numbers = [column.name for column in listed if column.kind is not Kind.TEXT]
    texts = [column.name for column in listed if column.kind is Kind.TEXT]
    if numbers:
        nodes.concat([found[name] for name in numbers], output=ANSWERS)
        model.graph.output.append(helper.make_tensor_value_info(ANSWERS, TensorProto.DOUBLE, [None, len(numbers)]))
    if texts:
        nodes.add("Identity", found[texts[0]], output=CATEGORY)
        model.graph.output.append(helper.make_tensor_value_info(CATEGORY, TensorProto.STRING, [None]))
    return {name: tuple(of_output) for name, of_output in ((ANSWERS, numbers), (CATEGORY, texts)) if of_output}


def _compute(
    nodes: Nodes,
    raw: str,
    contract: Contract,
    classes: Sequence[int] | None,
    calibration: Calibration | Temperature | None,
    doubt: Intervals | Sets | None,
) -> dict[str, str]:
    """Tensors of shape (n, 1), texts of shape (n,), by the name of their column of the answer."""
    roles = _by_role(contract.answer)
    prediction = contract.prediction
    if classes is None:
        value = _clip(nodes, prediction, raw)
        return {prediction.name: value, **_add_intervals(nodes, value, roles, doubt)}
    categories = contract.label.categories or _FALSE_TRUE
    if prediction.kind is Kind.TEXT:
        aligned = _align(nodes, raw, classes, range(len(categories)))
        if isinstance(calibration, Temperature):
            aligned = _scale(nodes, aligned, calibration)
        probabilities, answers = _split(nodes, aligned, categories, roles[Role.PROBABILITY])
        answers[prediction.name] = _choose(nodes, aligned, categories)
    else:
        positive = _align(nodes, raw, classes, [1])
        if isinstance(calibration, Calibration):
            positive = _apply_platt(nodes, positive, calibration)
        positive = _clip(nodes, prediction, positive)
        probabilities, answers = {"true": positive}, {prediction.name: positive}
        if isinstance(doubt, Sets):
            probabilities["false"] = nodes.add("Sub", nodes.constant(1.0), positive)
    return {**answers, **_add_sets(nodes, probabilities, roles[Role.IN_SET], doubt)}


def _by_role(answer: Sequence[Column]) -> dict[Role, list[Column]]:
    return {role: [column for column in answer if role in column.roles] for role in Role}


def _align(nodes: Nodes, raw: str, classes: Sequence[int], wanted: Sequence[int]) -> str:
    """The probabilities of the wanted classes: 0 for one that the fit has not seen."""
    if list(classes) == list(wanted):
        return raw
    if set(wanted) <= set(classes):
        return nodes.take(raw, [list(classes).index(each) for each in wanted])
    return nodes.add("MatMul", raw, nodes.constant(np.equal.outer(list(classes), list(wanted))))


def _clip(nodes: Nodes, column: Column, values: str) -> str:
    """Moves numbers into a column's range; NaN stays NaN."""
    if np.isinf(column.minimum) and np.isinf(column.maximum):
        return values
    return nodes.add("Clip", values, nodes.constant(column.minimum), nodes.constant(column.maximum))


def _apply_platt(nodes: Nodes, probability: str, calibration: Calibration) -> str:
    one = nodes.constant(1.0)
    clipped = nodes.add("Clip", probability, nodes.constant(CLIP), nodes.constant(1 - CLIP))
    odds = nodes.add("Sub", nodes.add("Log", clipped), nodes.add("Log", nodes.add("Sub", one, clipped)))
    scaled = nodes.add("Mul", odds, nodes.constant(calibration.slope))
    return nodes.add("Sigmoid", nodes.add("Add", scaled, nodes.constant(calibration.intercept)))


def _scale(nodes: Nodes, probabilities: str, calibration: Temperature) -> str:
    clipped = nodes.add("Clip", probabilities, nodes.constant(CLIP), nodes.constant(1.0))
    score = nodes.add("Div", nodes.add("Log", clipped), nodes.constant(calibration.temperature))
    return nodes.add("Softmax", score, axis=1)


def _split(
    nodes: Nodes, aligned: str, categories: Sequence[str], columns: Sequence[Column]
) -> tuple[dict[str, str], dict[str, str]]:
    """Probabilities by category, and by name of their column."""
    by_category = {column.category: column for column in columns}
    probabilities = {
        category: _clip(nodes, by_category[category], nodes.take(aligned, [position]))
        for position, category in enumerate(categories)
    }
    return probabilities, {by_category[category].name: tensor for category, tensor in probabilities.items()}


def _choose(nodes: Nodes, aligned: str, categories: Sequence[str]) -> str:
    """The most likely category of each row, the first of equals."""
    # NaN is no category: its row answers with no text, which no contract allows.
    best = nodes.add("ArgMax", aligned, axis=1, keepdims=0)
    chosen = nodes.add("Gather", nodes.constant(categories, str), best, axis=0)
    total = nodes.add("ReduceSum", aligned, nodes.constant([1], np.int64), keepdims=0)
    return nodes.add("Where", nodes.add("IsNaN", total), nodes.constant([""], str), chosen)


def _add_sets(
    nodes: Nodes, probabilities: Mapping[str, str], columns: Sequence[Column], doubt: Intervals | Sets | None
) -> dict[str, str]:
    if not isinstance(doubt, Sets):
        return {}
    return {
        column.name: nodes.to_double(
            nodes.add(
                "GreaterOrEqual",
                probabilities[column.category],
                nodes.constant(doubt.thresholds[column.category]),
            )
        )
        for column in columns
    }


def _add_intervals(
    nodes: Nodes, value: str, roles: Mapping[Role, Sequence[Column]], doubt: Intervals | Sets | None
) -> dict[str, str]:
    """The ends of the interval around a value."""
    ends = [*roles[Role.LOWER], *roles[Role.UPPER]]
    if not isinstance(doubt, Intervals) or not ends:
        return {}
    beyond = nodes.add("GreaterOrEqual", value, nodes.constant(doubt.edges))
    bins = nodes.add("ReduceSum", nodes.cast(beyond, TensorProto.INT64), nodes.constant([1], np.int64), keepdims=1)
    found = {}
    for column, table in zip(ends, (doubt.lower, doubt.upper), strict=True):
        distance = nodes.add("Gather", nodes.constant(table), bins, axis=0)
        found[column.name] = _clip(nodes, column, nodes.add("Add", value, distance))
    return found


def read_classes(contract: Contract, estimator: Any) -> tuple[int, ...] | None:
    """Labels of the columns of a fitted estimator's probabilities; None for an estimator of numbers.

    Raises ContractError if the label is of one kind and the estimator of the other.
    """
    is_class = contract.label.kind in (Kind.BOOLEAN, Kind.TEXT)
    gives_probabilities = hasattr(estimator, "predict_proba")
    if is_class and not gives_probabilities:
        raise ContractError(
            f"{contract.label.name} is a class, and the estimator has no predict_proba; use a classifier that has it"
        )
    if not is_class and hasattr(estimator, "classes_"):
        raise ContractError(f"{contract.label.name} is a number, and the estimator is a classifier; use a regressor")
    return tuple(int(each) for each in estimator.classes_) if is_class else None
