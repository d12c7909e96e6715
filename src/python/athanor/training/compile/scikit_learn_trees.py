"""The trees of scikit-learn's fitted estimators, and how their sum becomes an answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from sklearn.base import is_classifier

from athanor.errors import ContractError
from athanor.training.compile.trees import Ensemble, Link, Tree

_BITS: Final = 32
_POSITIVE_LOSSES: Final = ("poisson", "gamma")
_NUMBER_LOSSES: Final = ("squared_error", "absolute_error", "quantile", "huber")


def read_forest(estimator: Any) -> tuple[Ensemble, Link]:
    """A tree, or the mean of trees. A classifier's leaves hold the share of each class."""
    trees = [each.tree_ for each in getattr(estimator, "estimators_", [estimator])]
    of_classes = is_classifier(estimator)
    width = len(estimator.classes_) if of_classes else 1
    # Of two classes the second is enough.
    first = 1 if of_classes and width == 2 else 0
    read = [_read_tree(tree, tree.value[:, 0, first:width] / len(trees)) for tree in trees]
    return Ensemble(read, np.zeros(width - first), is_float32=True), Link("identity")


def read_gradient_boosting(estimator: Any) -> tuple[Ensemble, Link]:
    """scikit-learn's older boosting: its trees predict numbers in any case."""
    if estimator.init is not None and estimator.init != "zero":
        raise ContractError(f"{type(estimator).__name__}(init=...) is not compiled; leave init at its default")
    rates = [[estimator.learning_rate * each.tree_.value[:, 0, :] for each in row] for row in estimator.estimators_]
    trees = [
        replace(_read_tree(each.tree_, values), targets=(target,))
        for row, of_row in zip(estimator.estimators_, rates, strict=True)
        for target, (each, values) in enumerate(zip(row, of_row, strict=True))
    ]
    nothing = np.zeros((1, estimator.n_features_in_), np.float32)
    base = np.asarray(estimator._raw_predict_init(nothing), np.float64).ravel()
    ensemble = Ensemble(trees, base, is_float32=True, allows_missing=False)
    if not is_classifier(estimator):
        return ensemble, Link("identity")
    factor = 2.0 if estimator.loss == "exponential" else 1.0
    return ensemble, Link("sigmoid" if len(base) == 1 else "softmax", factor)


def read_histogram_boosting(estimator: Any) -> tuple[Ensemble, Link]:
    """Histogram gradient boosting, with its own categories and missing values."""
    # It publishes neither its trees nor where they begin.
    predictors, base = estimator._predictors, estimator._baseline_prediction
    categories = _list_categories(estimator)
    trees = [_read_histogram_tree(each, target, categories) for row in predictors for target, each in enumerate(row)]
    ensemble = Ensemble(trees, np.asarray(base, np.float64).ravel(), is_float32=False)
    if is_classifier(estimator):
        return ensemble, Link("sigmoid" if len(ensemble.base) == 1 else "softmax")
    if estimator.loss in _POSITIVE_LOSSES:
        return ensemble, Link("exp")
    if estimator.loss not in _NUMBER_LOSSES:
        raise ContractError(f"{type(estimator).__name__}(loss={estimator.loss!r}) is not compiled; name a loss")
    return ensemble, Link("identity")


def _read_tree(tree: Any, values: Any) -> Tree:
    return Tree(
        feature=np.maximum(tree.feature, 0),
        threshold=np.asarray(tree.threshold, np.float64),
        left=np.asarray(tree.children_left),
        right=np.asarray(tree.children_right),
        missing_left=np.asarray(tree.missing_go_to_left, np.bool_),
        is_leaf=np.asarray(tree.children_left == tree.children_right),
        values=np.asarray(values, np.float64),
        counts=np.asarray(tree.n_node_samples),
        targets=tuple(range(values.shape[1])),
    )


def _list_categories(estimator: Any) -> dict[int, tuple[int, Sequence[float]]]:
    """Feature and categories, by position in what the trees see: the categorical features come first there."""
    if estimator.is_categorical_ is None:
        return {}
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    return {
        position: (int(feature), [each for each in values if not np.isnan(each)])
        for position, (feature, values) in enumerate(
            zip(np.flatnonzero(estimator.is_categorical_), encoder.categories_, strict=True)
        )
    }


def _read_histogram_tree(predictor: Any, target: int, categories: dict[int, tuple[int, Sequence[float]]]) -> Tree:
    nodes = predictor.nodes
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    is_leaf = nodes["is_leaf"].astype(np.bool_)
    members = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(np.bool_) & ~is_leaf).tolist():
        _, known = categories[int(nodes["feature_idx"][node])]
        bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        is_left = [bool(bits[code // _BITS] >> (code % _BITS) & 1) for code in range(len(known))]
        # What is missing or unknown goes where `missing_go_to_left` says: to the side that is not listed.
        is_listed = is_left
        if nodes["missing_go_to_left"][node]:
            is_listed = [not each for each in is_left]
            left[node], right[node] = right[node], left[node]
        members[node] = [value for value, listed in zip(known, is_listed, strict=True) if listed]
    return Tree(
        feature=_restore_features(nodes["feature_idx"].astype(np.int64), categories),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=left,
        right=right,
        missing_left=nodes["missing_go_to_left"].astype(np.bool_),
        is_leaf=is_leaf,
        values=nodes["value"].astype(np.float64)[:, None],
        counts=nodes["count"].astype(np.int64),
        targets=(target,),
        members=members,
    )


def _restore_features(positions: Any, categories: dict[int, tuple[int, Sequence[float]]]) -> Any:
    """Positions among the estimator's own inputs."""
    if not categories:
        return positions
    first = [feature for feature, _ in categories.values()]
    count = int(positions.max(initial=0)) + len(first) + 1
    order = [*first, *(feature for feature in range(count) if feature not in first)]
    return np.array(order)[positions]
