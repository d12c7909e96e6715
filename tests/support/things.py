"""Things whose features are hard on a compiler: huge ids, adjacent float32 numbers, missing values, open texts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from support.protos import Toy, make_field
from support.tasks import SPECIES, bend_multiclass, make_binary, make_regression

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.features.features import Features, Model

NUMBERS: Final = ("size", "id", "near", "count")
TEXTS: Final = ("color", "shop")
FEATURES: Final = Features(NUMBERS, TEXTS, lambda columns: {name: columns[name] for name in (*NUMBERS, *TEXTS)})
_FIRST_NEAR: Final = np.float32(0.1).view(np.int32)


def bend_row(toy: Toy) -> None:
    """A row of two texts and four numbers, all of which may be missing."""
    del toy.row.field[:]
    for number, name in enumerate((*NUMBERS, *TEXTS), start=1):
        bounds = {"minimum": 0, "maximum": 8} if name == "count" else {}
        toy.row.field.append(
            make_field(
                name,
                number,
                "string" if name in TEXTS else "uint32" if name == "count" else "double",
                description=name,
                may_be_missing=True,
                roles=[options_pb2.ROLE_FEATURE],
                **bounds,
            )
        )


CONTRACTS: Final[Mapping[str, Callable[[], Contract]]] = {
    "binary": lambda: make_binary(with_sets=True, bend=bend_row),
    "multiclass": lambda: bend_multiclass(bend_row),
    "regression": lambda: make_regression(with_interval=True, bend=bend_row),
    "count": lambda: make_regression(label="uint32", bend=bend_row, minimum=0, maximum=1_000),
}


def make_model(kind: str) -> Model:
    """One whose label asks a question of this kind; see `CONTRACTS`."""
    return Model(CONTRACTS[kind](), FEATURES)


def make_things(kind: str, rows: int = 300, seed: int = 0, missing: float = 0.0) -> Columns:
    """Rows whose label follows all features.

    Args:
        missing: share of the values of each feature.
    """
    random = np.random.default_rng(seed)
    columns: dict[str, NDArray[Any]] = {
        "size": random.normal(size=rows).astype(np.float32).astype(np.float64),
        "id": (1e8 + 8 * random.integers(0, 500, rows)).astype(np.float64),
        "near": (_FIRST_NEAR + random.integers(0, 40, rows)).astype(np.int32).view(np.float32).astype(np.float64),
        "count": random.integers(0, 9, rows).astype(np.float64),
        "color": random.choice(np.array(["red", "green", "blue", ""], dtype=object), rows),
        "shop": random.choice(np.array([f"shop {number}" for number in range(12)], dtype=object), rows),
    }
    score = (
        columns["size"] + (columns["id"] - 1e8) / 2_000 + (columns["near"] - 0.1) * 2e7 + (columns["color"] == "red")
    )
    score = score - np.median(score) + random.normal(size=rows) / 4
    for name in (*NUMBERS, *TEXTS):
        columns[name][random.uniform(size=rows) < missing] = "" if name in TEXTS else np.nan
    return {**columns, ("won" if kind == "binary" else "label"): _make_label(kind, score, random)}


def _make_label(kind: str, score: NDArray[np.float64], random: np.random.Generator) -> NDArray[Any]:
    if kind == "binary":
        return (score > 0).astype(np.float64)
    if kind == "multiclass":
        return np.array(SPECIES, dtype=object)[np.digitize(score, (-0.8, 0.8))]
    if kind == "regression":
        return np.maximum(5_000 + 1_000 * score, 1.0)
    return random.poisson(np.exp(score / 2)).astype(np.float64)
