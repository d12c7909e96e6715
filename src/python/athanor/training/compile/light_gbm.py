"""LightGBM's estimators. The library is loaded only where a recipe names it."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from athanor.training.compile.converter import Conversion, Values
from athanor.training.compile.nodes import Nodes
from athanor.training.compile.trees import Ensemble, Link, Tree, add_classifier, add_regressor

_LINKS: Final[Mapping[str, str]] = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
        "identity",
    ),
}
"""By name of the objective."""


class _LightGbm:
    @property
    def conversions(self) -> Mapping[type, Conversion]:
        if "lightgbm" not in sys.modules:
            return {}
        from lightgbm import LGBMClassifier, LGBMRegressor  # noqa: PLC0415 - it needs a library of the system, libgomp

        return {
            LGBMClassifier: Conversion(_convert_classifier, lambda estimator: len(estimator.classes_)),
            LGBMRegressor: Conversion(_convert_regressor, lambda _: 1),
        }

    def list_refusals(self, estimator: Any, is_last: bool) -> Iterator[str]:
        if type(estimator) not in self.conversions:
            return
        name = type(estimator).__name__
        if not is_last:
            yield f"{name} inside another estimator is not compiled; make it the last step of a pipeline"
        model = estimator.booster_.dump_model(num_iteration=1)
        objective, *options = str(model.get("objective", "custom")).split()
        if objective not in _LINKS or "sqrt" in options:
            yield (
                f"{name} with the objective {' and '.join((objective, *options))} is not compiled; "
                f"use one of {', '.join(sorted(_LINKS))}"
            )
        parameters = estimator.get_params()
        for option in ("linear_tree", "zero_as_missing"):
            if parameters.get(option):
                yield f"{name}({option}=True) is not compiled; leave it out"


def _convert_classifier(nodes: Nodes, estimator: Any, values: Values) -> str:
    return add_classifier(nodes, *_read(estimator), values)


def _convert_regressor(nodes: Nodes, estimator: Any, values: Values) -> str:
    return add_regressor(nodes, *_read(estimator), values)


def _read(estimator: Any) -> tuple[Ensemble, Link]:
    model = estimator.booster_.dump_model()
    width = model["num_tree_per_iteration"]
    trees = [_read_tree(each["tree_structure"], number % width) for number, each in enumerate(model["tree_info"])]
    objective, *options = model["objective"].split()
    given = dict(option.split(":") for option in options if ":" in option)
    whole = {int(tree.feature[node]) for tree in trees for node in tree.members}
    ensemble = Ensemble(trees, np.zeros(width), is_float32=False, whole=tuple(sorted(whole)))
    return ensemble, Link(_LINKS[objective], float(given.get("sigmoid", 1.0)))


def _read_tree(root: Mapping[str, Any], target: int) -> Tree:
    listed: list[Mapping[str, Any]] = []
    left: list[int] = []
    right: list[int] = []
    pending = [(root, -1, left)]
    while pending:
        node, parent, side = pending.pop()
        if parent >= 0:
            side[parent] = len(listed)
        pending += [
            (node[key], len(listed), of) for key, of in (("right_child", right), ("left_child", left)) if key in node
        ]
        listed.append(node)
        left.append(0)
        right.append(0)
    is_leaf = np.array(["leaf_value" in node for node in listed])
    return Tree(
        feature=np.array([node.get("split_feature", 0) for node in listed], np.int64),
        threshold=np.array([_read_threshold(node) for node in listed], np.float64),
        left=np.array(left, np.int64),
        right=np.array(right, np.int64),
        missing_left=np.array([_goes_left_if_missing(node) for node in listed]),
        is_leaf=is_leaf,
        values=np.array([[node.get("leaf_value", 0.0)] for node in listed], np.float64),
        counts=np.array([node.get("leaf_count", 0) for node in listed], np.int64),
        targets=(target,),
        members={
            at: [float(category) for category in str(node["threshold"]).split("||")]
            for at, node in enumerate(listed)
            if node.get("decision_type") == "=="
        },
    )


def _read_threshold(node: Mapping[str, Any]) -> float:
    return float(node["threshold"]) if node.get("decision_type") == "<=" else 0.0


def _goes_left_if_missing(node: Mapping[str, Any]) -> bool:
    """A node that saw no missing value takes one for 0."""
    if node.get("decision_type") != "<=":
        return False
    return bool(node["default_left"]) if node["missing_type"] == "NaN" else float(node["threshold"]) >= 0.0


LIGHT_GBM: Final = _LightGbm()
