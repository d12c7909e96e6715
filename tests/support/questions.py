"""Hand-made models whose answers have several columns, each known to a line of Python.

`SPECIES` answers a category, the probability of each and whether it can be ruled out, of rows without time and key.
`PRICES` answers a number and the interval around it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from support.protos import TIMESTAMP, Toy, make_field
from support.releases import make_files_of, make_release
from support.wires import identify, repackage

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.inputs import NUMBERS
from athanor.contract.v1 import options_pb2
from athanor.release.files import Release
from athanor.release.graph import ANSWERS, CATEGORY, NUMERIC
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader

Answers = Mapping[str, Sequence[Any]]
"""Values of each column of the answer as JSON has them."""

CATEGORIES: Final = ("adelie", "chinstrap", "gentoo")
_CENTRES: Final = (180.0, 195.0, 220.0)
_POSSIBLE: Final = 0.2
_OPSET: Final = 17


@dataclass(frozen=True)
class Question:
    """A model.

    Attributes:
        columns: of its dataset.
        answers: to these rows, by column.
    """

    contract: Contract
    graph: bytes
    columns: Columns
    answers: Answers

    def make_release(self, folder: Path) -> Release:
        files = make_files_of(self.contract, self.graph, self.columns, self.answers)
        return make_release(folder, files, **identify(self.contract))

    def promote(self, store: ReleaseStore, folder: Path) -> Core:
        """A core that answers by the model as 1.0.0."""
        release = self.make_release(folder)
        store.publish(release)
        champion = Served(digest=release.digest, semantic_version="1.0.0")
        store.write_traffic(Traffic(model=self.contract.name, revision=1, champion=champion))
        return Core(Loader(self.contract.name, store, max_rows=50))


def expect_species(lengths: Sequence[float]) -> Answers:
    scores = -(((np.array(lengths)[:, np.newaxis] - _CENTRES) / 10) ** 2)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return {
        "predicted_species": [CATEGORIES[position] for position in shares.argmax(axis=1)],
        **{f"{name}_probability": share.tolist() for name, share in zip(CATEGORIES, shares.T, strict=True)},
        **{f"may_be_{name}": (share >= _POSSIBLE).tolist() for name, share in zip(CATEGORIES, shares.T, strict=True)},
    }


def expect_prices(carats: Sequence[float]) -> Answers:
    return {
        "expected_price": [4_000.0 * carat for carat in carats],
        "lower": [3_600.0 * carat for carat in carats],
        "upper": [4_400.0 * carat for carat in carats],
    }


def _read_species() -> Contract:
    toy, role = Toy(), options_pb2
    for name in [field.name for field in (*toy.row.field, *toy.outcome.field, *toy.prediction.field)]:
        toy.remove(name)
    categories = list(CATEGORIES)
    length = {"description": "Length of the flipper", "unit": "mm", "minimum": 100, "maximum": 300}
    island = {"description": "Island", "may_be_missing": True}
    toy.row.field.extend(
        [
            make_field("flipper_length", 1, "double", roles=[role.ROLE_FEATURE], **length),
            make_field("island", 2, "string", roles=[role.ROLE_FEATURE], **island),
        ]
    )
    label = {"description": "Species", "categories": categories, "roles": [role.ROLE_LABEL]}
    toy.outcome.field.append(make_field("species", 1, "string", **label))
    predicted = {"description": "Most likely species", "categories": categories, "roles": [role.ROLE_PREDICTION]}
    toy.prediction.field.append(make_field("predicted_species", 1, "string", **predicted))
    for number, name in enumerate(categories, 2):
        share = {"description": f"Probability of {name}", "minimum": 0, "maximum": 1, "category": name}
        possible = {"description": f"Whether it may be {name}", "category": name, "roles": [role.ROLE_IN_SET]}
        toy.prediction.field.extend(
            [
                make_field(f"{name}_probability", number, "double", roles=[role.ROLE_PROBABILITY], **share),
                make_field(f"may_be_{name}", number + len(categories), "bool", **possible),
            ]
        )
    return repackage("species.v1", toy.read())


def _read_prices(has_interval: bool = True) -> Contract:
    toy, role = Toy(), options_pb2
    for name in [field.name for field in (*toy.row.field, *toy.outcome.field, *toy.prediction.field)]:
        toy.remove(name)
    at, stone = {"description": "When it was offered"}, {"description": "Which stone", "minimum": 1}
    carat = {"description": "Weight", "unit": "ct", "minimum": 0, "maximum": 10}
    price = {"unit": "USD", "minimum": 0}
    toy.row.field.extend(
        [
            make_field("offered_at", 1, TIMESTAMP, roles=[role.ROLE_EVENT_TIME], **at),
            make_field("stone", 2, "int32", roles=[role.ROLE_KEY], **stone),
            make_field("carat", 3, "double", roles=[role.ROLE_FEATURE], **carat),
        ]
    )
    toy.outcome.field.append(make_field("price", 1, "double", description="Price", roles=[role.ROLE_LABEL], **price))
    ends = ((2, "lower", role.ROLE_LOWER), (3, "upper", role.ROLE_UPPER)) if has_interval else ()
    for number, name, of in ((1, "expected_price", role.ROLE_PREDICTION), *ends):
        description = name.replace("_", " ").capitalize()
        toy.prediction.field.append(make_field(name, number, "double", description=description, roles=[of], **price))
    return repackage("prices.v1", toy.read())


def _make_graph(
    nodes: Sequence[NodeProto], constants: Mapping[str, NDArray[Any]], answers: Sequence[str], category: str = ""
) -> bytes:
    """A graph with one number as its only feature."""
    outputs = [
        helper.make_tensor_value_info(NUMERIC, TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info(ANSWERS, TensorProto.DOUBLE, [None, len(answers)]),
        *([helper.make_tensor_value_info(CATEGORY, TensorProto.STRING, [None])] if category else []),
    ]
    cast = helper.make_node("Cast", [NUMBERS], [NUMERIC], to=TensorProto.FLOAT)
    numbers = helper.make_tensor_value_info(NUMBERS, TensorProto.DOUBLE, [None, 1])
    kinds = {"f": TensorProto.DOUBLE, "O": TensorProto.STRING}
    made = [helper.make_tensor(name, kinds[v.dtype.kind], v.shape, v.ravel()) for name, v in constants.items()]
    graph = helper.make_graph([cast, *nodes], "by_hand", [numbers], outputs, made)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", _OPSET)])
    names = {NUMERIC: ["feature"], ANSWERS: answers, CATEGORY: [category] if category else []}
    helper.set_model_props(model, {name: json.dumps([*listed]) for name, listed in names.items()})
    return bytes(model.SerializeToString(deterministic=True))


def _make_species_graph(answers: Sequence[str]) -> bytes:
    nodes = [
        helper.make_node("Sub", [NUMBERS, "centres"], ["away"]),
        helper.make_node("Div", ["away", "ten"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "scaled"], ["squared"]),
        helper.make_node("Neg", ["squared"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=1),
        helper.make_node("GreaterOrEqual", ["shares", "possible"], ["is_possible"]),
        helper.make_node("Cast", ["is_possible"], ["sets"], to=TensorProto.DOUBLE),
        helper.make_node("Concat", ["shares", "sets"], [ANSWERS], axis=1),
        helper.make_node("ArgMax", ["shares"], ["most"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "most"], [CATEGORY]),
    ]
    constants = {
        "centres": np.array([_CENTRES]),
        "ten": np.array([10.0]),
        "possible": np.array([_POSSIBLE]),
        "names": np.array(CATEGORIES, dtype=object),
    }
    return _make_graph(nodes, constants, answers, "predicted_species")


def _make_prices_graph(answers: Sequence[str] = ("expected_price", "lower", "upper")) -> bytes:
    factors = np.array([[4_000.0, 3_600.0, 4_400.0][: len(answers)]])
    return _make_graph([helper.make_node("Mul", [NUMBERS, "factors"], [ANSWERS])], {"factors": factors}, answers)


_LENGTHS: Final = [172.0, 187.0, 190.0, 199.0, 207.0, 230.0]
_CARATS: Final = [0.0, 0.25, 0.5, 1.5, 3.0]
_SPECIES: Final = expect_species(_LENGTHS)

SPECIES: Final = Question(
    _read_species(),
    _make_species_graph([name for name in _SPECIES if name != "predicted_species"]),
    {
        "flipper_length": np.array(_LENGTHS),
        "island": np.array(["Dream", "", "Biscoe", "Dream", "Biscoe", ""], dtype=object),
        "species": np.array([CATEGORIES[n % 3] for n in range(len(_LENGTHS))], dtype=object),
    },
    _SPECIES,
)
PRICES: Final = Question(
    _read_prices(),
    _make_prices_graph(),
    {
        "offered_at": np.datetime64("2024-01-01T00:00:00", "us") + np.arange(len(_CARATS)) * np.timedelta64(1, "h"),
        "stone": np.arange(1.0, len(_CARATS) + 1),
        "carat": np.array(_CARATS),
        "price": 4_100 * np.array(_CARATS),
    },
    expect_prices(_CARATS),
)
QUESTIONS: Final = (SPECIES, PRICES)

PRICES_ALONE: Final = replace(
    PRICES,
    contract=_read_prices(has_interval=False),
    graph=_make_prices_graph(["expected_price"]),
    answers={"expected_price": PRICES.answers["expected_price"]},
)
"""The same model as it was before its answer had an interval."""
