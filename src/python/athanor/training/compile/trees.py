"""Decision trees of any library as one operator of an ONNX graph, exact to the bit where a row goes.

Rows and thresholds are compared in float64, as the libraries compare them. A threshold that is rounded to float32 sends
rows between the two elsewhere: of ids near 100 million, four of ten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from athanor.training.compile.converter import Values
from athanor.training.compile.nodes import ML_DOMAIN, Nodes

_LEAF: Final = b"LEAF"
_AT_MOST: Final = b"BRANCH_LEQ"
_EQUAL: Final = b"BRANCH_EQ"


@dataclass(frozen=True)
class Tree:
    """One tree of n nodes, of which the first is the root.

    Attributes:
        feature: of each node, int64.
        threshold: float64: a row goes left if its value is at most this.
        left, right: the next nodes, int64.
        missing_left: whether a row without the value goes left.
        is_leaf: mask of the nodes that end a path.
        values: float64 of shape (n, number of targets): what a leaf adds to each target.
        counts: training rows that came to each node.
        targets: positions among the outputs of the whole ensemble.
        members: instead of a threshold, by node: the values that go left. All others go right, missing ones too.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    is_leaf: NDArray[np.bool_]
    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    targets: tuple[int, ...]
    members: Mapping[int, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ensemble:
    """The trees of a fitted estimator, whose leaves are summed.

    Attributes:
        base: float64 of shape (outputs,), added to the sums.
        is_float32: whether the library rounds the values of a row to float32 before it compares them.
        allows_missing: whether it answers to rows without a value. If not, the answer to them is NaN.
        whole: features of which it takes the whole number alone.
    """

    trees: Sequence[Tree]
    base: NDArray[np.float64]
    is_float32: bool
    allows_missing: bool = True
    whole: tuple[int, ...] = ()

    def center(self) -> "Ensemble":
        """The same sums, with each tree's mean over its training rows in `base`, and its leaves around 0.

        The operator gives its sum in float32: all its digits are for what differs between rows.
        """
        base = self.base.copy()
        trees = []
        for tree in self.trees:
            leaves = tree.is_leaf
            middle = np.average(tree.values[leaves], axis=0, weights=np.maximum(tree.counts[leaves], 1))
            base[list(tree.targets)] += middle
            trees.append(replace(tree, values=np.where(leaves[:, None], tree.values - middle, 0.0)))
        return replace(self, trees=trees, base=base)


@dataclass(frozen=True)
class Link:
    """What becomes of the sum of the trees.

    Attributes:
        name: identity, exp, sigmoid or softmax.
        factor: of the sum, before.
    """

    name: str
    factor: float = 1.0


def add_classifier(nodes: Nodes, ensemble: Ensemble, link: Link, values: Values) -> str:
    """Probabilities of all classes, float64. An ensemble with one output gives that of the second of two."""
    given = _add_link(nodes, _add_sum(nodes, ensemble, values), link)
    if len(ensemble.base) > 1:
        return given
    return nodes.concat([nodes.add("Sub", nodes.constant(1.0), given), given])


def add_regressor(nodes: Nodes, ensemble: Ensemble, link: Link, values: Values) -> str:
    """A number, float64 of shape (n, 1)."""
    return _add_link(nodes, _add_sum(nodes, ensemble, values), link)


def _add_link(nodes: Nodes, total: str, link: Link) -> str:
    if link.factor != 1.0:
        total = nodes.add("Mul", total, nodes.constant(link.factor))
    if link.name == "identity":
        return total
    if link.name == "softmax":
        return nodes.add("Softmax", total, axis=1)
    return nodes.add({"exp": "Exp", "sigmoid": "Sigmoid"}[link.name], total)


def _add_sum(nodes: Nodes, ensemble: Ensemble, values: Values) -> str:
    """Float64 of shape (n, outputs)."""
    centered = ensemble.center()
    taken = values.name
    if ensemble.is_float32 and values.is_double:
        taken = nodes.cast(taken, TensorProto.FLOAT)
    if ensemble.is_float32 or not values.is_double:
        taken = nodes.to_double(taken)
    if ensemble.whole:
        is_whole = nodes.constant(np.isin(np.arange(values.width), ensemble.whole), np.bool_)
        taken = nodes.add("Where", is_whole, nodes.to_double(nodes.cast(taken, TensorProto.INT64)), taken)
    total = nodes.add("TreeEnsembleRegressor", taken, domain=ML_DOMAIN, **_make_attributes(centered))
    total = nodes.add("Add", nodes.to_double(total), nodes.constant(centered.base))
    if ensemble.allows_missing:
        return total
    nothing = nodes.add("ReduceSum", nodes.add("Sub", taken, taken), nodes.constant([1], np.int64), keepdims=1)
    return nodes.add("Add", total, nothing)


def _make_attributes(ensemble: Ensemble) -> dict[str, Any]:
    """Attributes of `TreeEnsembleRegressor` of version 3, for float64 inputs; `base` is not among them."""
    trees = [_expand(tree) for tree in ensemble.trees]
    counts = [len(tree.feature) for tree in trees]
    numbers = np.repeat(np.arange(len(trees)), counts)
    nodes = np.concatenate([np.arange(count) for count in counts])
    leaves = np.concatenate([tree.is_leaf for tree in trees])
    return {
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "n_targets": len(ensemble.base),
        "nodes_treeids": numbers.tolist(),
        "nodes_nodeids": nodes.tolist(),
        "nodes_featureids": np.where(leaves, 0, np.concatenate([tree.feature for tree in trees])).tolist(),
        "nodes_modes": np.where(leaves, _LEAF, np.concatenate([_modes(tree) for tree in trees])).tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(
            np.where(leaves, 0.0, np.concatenate([tree.threshold for tree in trees]))
        ),
        "nodes_truenodeids": np.where(leaves, 0, np.concatenate([tree.left for tree in trees])).tolist(),
        "nodes_falsenodeids": np.where(leaves, 0, np.concatenate([tree.right for tree in trees])).tolist(),
        "nodes_missing_value_tracks_true": np.where(
            leaves, 0, np.concatenate([tree.missing_left for tree in trees])
        ).tolist(),
        **_make_targets(trees),
    }


def _make_targets(trees: Sequence[Tree]) -> dict[str, Any]:
    leaves = [np.flatnonzero(tree.is_leaf) for tree in trees]
    widths = [len(tree.targets) for tree in trees]
    return {
        "target_treeids": np.repeat(
            np.arange(len(trees)), [len(at) * width for at, width in zip(leaves, widths, strict=True)]
        ).tolist(),
        "target_nodeids": np.concatenate(
            [np.repeat(at, width) for at, width in zip(leaves, widths, strict=True)]
        ).tolist(),
        "target_ids": np.concatenate(
            [np.tile(tree.targets, len(at)) for tree, at in zip(trees, leaves, strict=True)]
        ).tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(
            np.concatenate([tree.values[at].ravel() for tree, at in zip(trees, leaves, strict=True)])
        ),
    }


def _modes(tree: Tree) -> NDArray[np.bytes_]:
    modes = np.full(len(tree.feature), _AT_MOST)
    modes[list(tree.members)] = _EQUAL
    return modes


def _expand(tree: Tree) -> Tree:
    """A chain of nodes for each node with members: one compares with each member, all lead to the same left node."""
    if not tree.members:
        return tree
    feature, threshold, left, right = (list(values) for values in (tree.feature, tree.threshold, tree.left, tree.right))
    missing_left = tree.missing_left.copy()
    equal: list[int] = []
    for node, members in tree.members.items():
        at, otherwise = node, right[node]
        missing_left[node] = False
        for position, member in enumerate(members):
            if position:
                right[at] = at = len(feature)
                feature.append(feature[node])
                left.append(left[node])
                threshold.append(member)
                right.append(otherwise)
            threshold[at] = member
            right[at] = otherwise
            equal.append(at)
    added = len(feature) - len(tree.feature)
    return replace(
        tree,
        feature=np.array(feature, np.int64),
        threshold=np.array(threshold, np.float64),
        left=np.array(left, np.int64),
        right=np.array(right, np.int64),
        missing_left=np.append(missing_left, np.zeros(added, np.bool_)),
        is_leaf=np.append(tree.is_leaf, np.zeros(added, np.bool_)),
        values=np.vstack([tree.values, np.zeros((added, tree.values.shape[1]))]),
        members=dict.fromkeys(equal, ()),
    )
