"""Toy contracts of every shape: without time or key, with group and weight, with each kind of label; and their rows."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from numpy.typing import NDArray
from support.protos import Toy, make_field

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2

CATEGORIES: Final = ("apple", "pear", "plum")
_START: Final = np.datetime64("2013-01-01T00:07", "us")
_STEP: Final = np.timedelta64(37, "m")


def without_time(toy: Toy) -> Toy:
    """Without an event time."""
    toy.remove("at")
    return toy


def without_key(toy: Toy) -> Toy:
    """Whose rows may be equal."""
    toy.remove("id")
    return toy


def with_group(toy: Toy, kind: str = "string") -> Toy:
    """Whose rows belong to customers."""
    roles = [options_pb2.ROLE_GROUP]
    toy.row.field.append(make_field("customer", 21, kind, description="Whose it is", roles=roles))
    return toy


def with_weight(toy: Toy) -> Toy:
    """Whose rows count differently."""
    roles = [options_pb2.ROLE_WEIGHT]
    toy.outcome.field.append(
        make_field("weight", 21, "double", description="How much it counts", roles=roles, minimum=0, maximum=5)
    )
    return toy


def with_sets(toy: Toy, categories: Sequence[str] = ("true", "false")) -> Toy:
    """Whose answer has a set of categories: `has_true` for "true"."""
    toy.prediction.field.extend(
        _about(category, "has", 40 + number, "bool", options_pb2.ROLE_IN_SET)
        for number, category in enumerate(categories)
    )
    return toy


def with_categories(toy: Toy, categories: Sequence[str] = CATEGORIES) -> Toy:
    """Whose label is a category: the answer is `likeliest`, and `p_apple` and so on."""
    _relabel(toy, make_field("fruit", 1, "string", description="Which fruit", roles=_LABEL, categories=categories))
    described = {"description": "The likeliest fruit", "categories": categories}
    toy.prediction.field.append(make_field("likeliest", 1, "string", roles=_PREDICTION, **described))
    toy.prediction.field.extend(
        _about(category, "p", 2 + number, "double", options_pb2.ROLE_PROBABILITY, minimum=0, maximum=1)
        for number, category in enumerate(categories)
    )
    return toy


def with_number(toy: Toy, kind: str = "double", interval: bool = False, **options: Any) -> Toy:
    """Whose label is a number: the answer is `expected`, with `low` and `high` around it if there is an interval."""
    _relabel(toy, make_field("price", 1, kind, description="What it costs", roles=_LABEL, **options))
    toy.prediction.field.append(make_field("expected", 1, "double", description="Its price", roles=_PREDICTION))
    if interval:
        low, high = [options_pb2.ROLE_LOWER], [options_pb2.ROLE_UPPER]
        toy.prediction.field.append(make_field("low", 2, "double", description="At least this", roles=low))
        toy.prediction.field.append(make_field("high", 3, "double", description="At most this", roles=high))
    return toy


_LABEL: Final = [options_pb2.ROLE_LABEL]
_PREDICTION: Final = [options_pb2.ROLE_PREDICTION]


def _relabel(toy: Toy, label: FieldDescriptorProto) -> None:
    toy.remove("won")
    toy.remove("probability")
    toy.outcome.field.append(label)


def _about(
    category: str, prefix: str, number: int, kind: str, role: options_pb2.Role.ValueType, **options: Any
) -> FieldDescriptorProto:
    """A column of the answer about one category."""
    described = {"description": f"About {category}", "category": category, **options}
    return make_field(f"{prefix}_{category}", number, kind, roles=[role], **described)


def make_columns(contract: Contract, rows: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Valid rows of any toy, an event every 37 minutes; a tenth of what may be missing is."""
    random = np.random.default_rng(seed)
    made = {column.name: _make_column(column, rows, random) for column in contract.dataset_columns}
    for column in contract.dataset_columns:
        if column.may_be_missing:
            is_missing = random.uniform(size=rows) < 0.1
            made[column.name] = np.where(is_missing, column.missing(rows), made[column.name])
    return made


def take(columns: Columns, rows: Any) -> dict[str, NDArray[Any]]:
    """These rows of all columns."""
    return {name: values[rows] for name, values in columns.items()}


def _make_column(column: Column, rows: int, random: np.random.Generator) -> NDArray[Any]:
    lowest, highest = max(column.minimum, -100.0), min(column.maximum, 100.0)
    match column.kind:
        case Kind.TIMESTAMP:
            return _START + np.arange(rows) * _STEP
        case Kind.TEXT:
            return random.choice(np.array(column.categories or ("A", "B", "CD"), dtype=object), rows)
        case Kind.BOOLEAN:
            return random.integers(0, 2, rows).astype(np.float64)
        case Kind.INTEGER if Role.KEY in column.roles:
            return lowest + np.arange(rows, dtype=np.float64)
        case Kind.INTEGER:
            return random.integers(int(lowest), int(highest) + 1, rows).astype(np.float64)
    return column.round(random.uniform(lowest, highest, rows))
