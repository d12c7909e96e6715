"""Contracts of each task."""

from collections.abc import Callable
from typing import Any, Final

from support.protos import Toy, make_field

from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2

SPECIES: Final = ("Adelie", "Chinstrap", "Gentoo")

_BOUNDS: Final[dict[str, Any]] = {"minimum": 0, "maximum": 1}


def make_binary(with_sets: bool = False, bend: Callable[[Toy], None] | None = None) -> Contract:
    """Whether it won; `bend` changes the contract before it is read."""
    toy = Toy()
    toy.column("probability").MergeFrom(options_pb2.ColumnOptions(**_BOUNDS))
    if with_sets:
        _add_sets(toy, ("false", "true"))
    if bend:
        bend(toy)
    return toy.read()


def make_multiclass(with_sets: bool = False) -> Contract:
    """Which species."""
    return bend_multiclass(lambda toy: _add_sets(toy, SPECIES) if with_sets else None)


def bend_multiclass(bend: Callable[[Toy], None]) -> Contract:
    """Which species, changed before it is read."""
    toy = Toy()
    _replace_label(toy, "string", categories=SPECIES)
    del toy.prediction.field[:]
    roles = [options_pb2.ROLE_PREDICTION]
    species = make_field("species", 1, "string", description="Which species", categories=SPECIES, roles=roles)
    toy.prediction.field.append(species)
    for number, name in enumerate(SPECIES, start=2):
        toy.prediction.field.append(
            make_field(
                f"{name.lower()}_probability",
                number,
                "double",
                description=f"How likely it is {name}",
                category=name,
                roles=[options_pb2.ROLE_PROBABILITY],
                **_BOUNDS,
            )
        )
    bend(toy)
    return toy.read()


def make_regression(
    with_interval: bool = False, label: str = "double", bend: Callable[[Toy], None] | None = None, **label_options: Any
) -> Contract:
    """How heavy; `label` is the label's type, and `bend` changes the contract before it is read."""
    toy = Toy()
    _replace_label(toy, label, **label_options)
    del toy.prediction.field[:]
    roles = {"mass": options_pb2.ROLE_PREDICTION}
    if with_interval:
        roles |= {"mass_from": options_pb2.ROLE_LOWER, "mass_to": options_pb2.ROLE_UPPER}
    for number, (name, role) in enumerate(roles.items(), start=1):
        toy.prediction.field.append(make_field(name, number, "double", description=name, roles=[role], **label_options))
    if bend:
        bend(toy)
    return toy.read()


def _replace_label(toy: Toy, kind: str, **options: Any) -> None:
    del toy.outcome.field[:]
    toy.outcome.field.append(
        make_field("label", 1, kind, description="What it is", roles=[options_pb2.ROLE_LABEL], **options)
    )


def _add_sets(toy: Toy, categories: tuple[str, ...]) -> None:
    for number, name in enumerate(categories, start=10):
        toy.prediction.field.append(
            make_field(
                f"may_be_{name.lower()}",
                number,
                "bool",
                description=f"Whether {name} cannot be ruled out",
                category=name,
                roles=[options_pb2.ROLE_IN_SET],
            )
        )
