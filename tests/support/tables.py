"""Small tables of every task, as a newcomer might bring them, with and without time, groups and weights."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from support.protos import Toy, make_field

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.data.dataset import Dataset, Transformed
from athanor.data.sources.delimited import DelimitedFiles
from athanor.features.features import Features, Model
from athanor.training.recipe import Recipe

SPECIES: Final = ("Adelie", "Chinstrap", "Gentoo")
TASKS: Final = ("binary", "multiclass", "number", "count")

_FIRST: Final = np.datetime64("2024-01-01T00:00:00", "us")
_LABELS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "binary": ("bool", {}),
    "multiclass": ("string", {"categories": SPECIES}),
    "number": ("double", {}),
    "count": ("int32", {"minimum": 0}),
}
_PROBABILITY: Final[dict[str, Any]] = {"minimum": 0, "maximum": 1}


def compute(columns: Any) -> Any:
    return {name: columns[name] for name in ("amount", "count", "color")}


def make_model(
    task: str, *, with_time: bool = True, with_group: bool = False, with_weight: bool = False, with_doubt: bool = False
) -> Model:
    """A model of the columns amount, count and color, whose label depends on amount and color.

    Args:
        task: one of TASKS.
        with_group: whether rows belong to a customer.
        with_doubt: whether the answer has an interval or a set.
    """
    toy = Toy()
    for name in ("count", "color"):
        toy.column(name).roles.append(options_pb2.ROLE_FEATURE)
    toy.column("amount").may_be_missing = True
    toy.column("amount").missing_budget = 1.0
    for name in ("code", "is_new", *(() if with_time else ("at",))):
        toy.remove(name)
    if with_group:
        roles = [options_pb2.ROLE_GROUP]
        toy.row.field.append(make_field("customer", 8, "string", description="Whose row it is", roles=roles))
    _declare(toy, task, with_doubt)
    if with_weight:
        roles = [options_pb2.ROLE_WEIGHT]
        weight = make_field("weight", 2, "double", description="How much it counts", minimum=0, roles=roles)
        toy.outcome.field.append(weight)
    return Model(toy.read(), Features(("amount", "count"), ("color",), compute))


def _declare(toy: Toy, task: str, with_doubt: bool) -> None:
    """Declares label and answer of a task."""
    del toy.outcome.field[:], toy.prediction.field[:]
    kind, options = _LABELS[task]
    roles = [options_pb2.ROLE_LABEL]
    toy.outcome.field.append(make_field("label", 1, kind, description="What it is", roles=roles, **options))
    if task == "binary":
        _add(toy, "probability", "double", options_pb2.ROLE_PREDICTION, **_PROBABILITY)
        categories: tuple[str, ...] = ("false", "true")
    elif task == "multiclass":
        _add(toy, "species", "string", options_pb2.ROLE_PREDICTION, categories=SPECIES)
        for name in SPECIES:
            _add(
                toy,
                f"{name.lower()}_probability",
                "double",
                options_pb2.ROLE_PROBABILITY,
                category=name,
                **_PROBABILITY,
            )
        categories = SPECIES
    else:
        _add(toy, "value", "double", options_pb2.ROLE_PREDICTION, **options)
        categories = ()
    if with_doubt and not categories:
        for name, role in (("value_from", options_pb2.ROLE_LOWER), ("value_to", options_pb2.ROLE_UPPER)):
            _add(toy, name, "double", role, **options)
    for name in categories if with_doubt else ():
        _add(toy, f"may_be_{name.lower()}", "bool", options_pb2.ROLE_IN_SET, category=name)


def _add(toy: Toy, name: str, kind: str, role: Any, **options: Any) -> None:
    """A column more in the answer."""
    number = len(toy.prediction.field) + 1
    toy.prediction.field.append(make_field(name, number, kind, description=name, roles=[role], **options))


def make_table(contract: Contract, count: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Rows of a contract of `make_model`, an hour apart, each customer with four of them in a row."""
    random = np.random.default_rng(seed)
    amount = random.uniform(0, 9, count).round(2)
    color = random.choice(np.array(["red", "green"], dtype=object), count)
    expected = amount + np.where(color == "red", 3.0, 0.0)
    columns: dict[str, NDArray[Any]] = {
        "at": _FIRST + np.arange(count) * np.timedelta64(1, "h"),
        "id": 1.0 + np.arange(count),
        "amount": amount,
        "count": np.where(random.uniform(size=count) < 0.2, np.nan, random.integers(0, 50, count)),
        "color": color,
        "customer": np.array([f"customer {number // 4}" for number in range(count)], dtype=object),
        "label": _draw_labels(contract, expected, random),
        "weight": random.choice([0.5, 1.0, 2.0], count),
    }
    return {column.name: columns[column.name] for column in contract.dataset_columns}


def _draw_labels(contract: Contract, expected: NDArray[np.float64], random: np.random.Generator) -> NDArray[Any]:
    noisy = expected + random.normal(0, 1.5, len(expected))
    match contract.label.kind.value:
        case "boolean":
            return (noisy > 6.5).astype(np.float64)
        case "text":
            return np.array(SPECIES, dtype=object)[np.digitize(noisy, (4.0, 8.0))]
        case "integer":
            return random.poisson(expected / 2).astype(np.float64)
    return noisy.round(3)


def make_recipe_of(model: Model, **given: Any) -> Recipe:
    """The shortest recipe of a model: all that is not given is left to defaults."""
    dataset = Dataset({"table": DelimitedFiles("nowhere.csv")}, "table", _transform)
    return Recipe(declared_in=__name__, model=model, dataset=dataset, **given)


def _transform(tables: Any) -> Transformed:
    raise AssertionError("training reads snapshots, never sources")


def take(columns: Columns, chosen: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: values[chosen] for name, values in columns.items()}
