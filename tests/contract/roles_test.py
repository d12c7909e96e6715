"""Contracts without time or key, with groups and weights, and with labels and answers of every kind."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from support.protos import TIMESTAMP, Toy, make_field
from support.toys import CATEGORIES, with_categories, with_group, with_number, with_sets, with_weight
from support.toys import without_key as _without_key
from support.toys import without_time as _without_time

from athanor.contract.assignment import describe_assignment, tells_callers_apart
from athanor.contract.columns import Kind, Role
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError


def _with_interval(toy: Toy) -> Toy:
    return with_number(toy, interval=True)


def test_a_contract_needs_neither_time_nor_key() -> None:
    contract = _without_key(_without_time(Toy())).read()
    assert (contract.event_time, contract.key) == (None, ())
    assert (contract.group, contract.weight) == (None, None)


def test_a_group_and_a_weight_are_found() -> None:
    contract = with_weight(with_group(Toy())).read()
    assert contract.group is contract.column("customer")
    assert contract.weight is contract.column("weight")
    assert contract.weight in contract.outcome_columns


def test_the_answer_of_a_label_with_categories_has_a_probability_of_each() -> None:
    contract = with_sets(with_categories(Toy()), CATEGORIES).read()
    assert (contract.label.kind, contract.label.categories) == (Kind.TEXT, CATEGORIES)
    assert contract.prediction is contract.answer[0]
    probabilities = [column for column in contract.answer if Role.PROBABILITY in column.roles]
    assert [(column.name, column.category) for column in probabilities] == [
        ("p_apple", "apple"),
        ("p_pear", "pear"),
        ("p_plum", "plum"),
    ]
    assert [column.category for column in contract.answer if Role.IN_SET in column.roles] == list(CATEGORIES)


def test_the_answer_of_a_number_may_have_an_interval() -> None:
    assert [column.name for column in with_number(Toy()).read().answer] == ["expected"]
    contract = with_number(Toy(), "uint32", interval=True).read()
    assert [column.name for column in contract.answer] == ["expected", "low", "high"]
    assert (contract.label.kind, contract.label.minimum) == (Kind.INTEGER, 0)


_SHAPES: Final[list[Callable[[Toy], Toy]]] = [
    *(_without_time, _without_key, with_group, with_weight, with_sets, with_categories, with_number, _with_interval),
]


@pytest.mark.parametrize("shape", _SHAPES)
def test_each_shape_has_a_fingerprint_of_its_own(shape: Callable[[Toy], Toy]) -> None:
    assert shape(Toy()).read().fingerprint != Toy().read().fingerprint


def test_the_category_of_a_column_is_in_the_fingerprint() -> None:
    toy = with_categories(Toy())
    toy.column("p_apple").category, toy.column("p_pear").category = "pear", "apple"
    assert toy.read().fingerprint != with_categories(Toy()).read().fingerprint


def _set(toy: Toy, name: str, **options: Any) -> None:
    for option, value in options.items():
        setattr(toy.column(name), option, value)


def _add_role(toy: Toy, name: str, role: options_pb2.Role.ValueType) -> None:
    toy.column(name).roles.append(role)


def _rule(toy: Toy, **rules: float) -> None:
    toy.row.options.Extensions[options_pb2.dataset].MergeFrom(options_pb2.DatasetOptions(**rules))


def _add(toy: Toy, message: str, name: str, kind: str, role: options_pb2.Role.ValueType, **options: Any) -> None:
    getattr(toy, message).field.append(make_field(name, 30, kind, description="One more", roles=[role], **options))


def _empty_row(toy: Toy) -> None:
    del toy.row.field[:]


_GROUP, _WEIGHT, _IN_SET = options_pb2.ROLE_GROUP, options_pb2.ROLE_WEIGHT, options_pb2.ROLE_IN_SET
_LOWER, _UPPER, _PROBABILITY = options_pb2.ROLE_LOWER, options_pb2.ROLE_UPPER, options_pb2.ROLE_PROBABILITY


@pytest.mark.parametrize(
    ("make", "bend", "message"),
    [
        # Groups and weights.
        (
            with_group,
            lambda t: _add_role(t, "id", _GROUP),
            r"Row needs at most one column with ROLE_GROUP, it has id, c",
        ),
        (
            Toy,
            lambda t: _add_role(t, "amount", _GROUP),
            r"Row\.amount: ROLE_GROUP needs a string, int32 or uint32, this",
        ),
        (Toy, lambda t: _add_role(t, "code", _GROUP), r"Row\.code: ROLE_GROUP needs a required column"),
        (
            Toy,
            lambda t: _add(t, "outcome", "of", "string", _GROUP),
            r"Outcome has columns that belong to the row .*: of",
        ),
        (with_weight, lambda t: _set(t, "weight", minimum=-1), r"Outcome\.weight: ROLE_WEIGHT needs a minimum of 0"),
        (with_weight, lambda t: t.column("weight").ClearField("minimum"), "ROLE_WEIGHT needs a minimum of 0 or more"),
        (with_weight, lambda t: _set(t, "weight", may_be_missing=True), "ROLE_WEIGHT needs a required column"),
        (
            with_weight,
            lambda t: _add(t, "outcome", "other", "double", _WEIGHT, minimum=0),
            r"Outcome needs at most one column with ROLE_WEIGHT, it has weight, other",
        ),
        (Toy, lambda t: _add_role(t, "amount", _WEIGHT), "known only afterwards, move to the outcome .*: amount"),
        (Toy, lambda t: _add(t, "outcome", "w", "string", _WEIGHT), r"Outcome\.w: ROLE_WEIGHT needs a number, this is"),
        (with_number, lambda t: _set_roles(t, "price", _WEIGHT, minimum=0), "ROLE_LABEL and ROLE_WEIGHT exclude each"),
        # The answer.
        (
            _with_interval,
            lambda t: t.remove("low"),
            "needs one column with ROLE_LOWER and one with ROLE_UPPER, or neither",
        ),
        (
            with_number,
            lambda t: _add(t, "prediction", "up", "int32", _UPPER),
            r"Prediction\.up: ROLE_UPPER needs a double",
        ),
        (
            with_sets,
            lambda t: _set(t, "has_true", category="false"),
            "several columns with ROLE_IN_SET of the category fa",
        ),
        (
            with_sets,
            lambda t: _set(t, "has_true", category=""),
            r"has_true: category belongs to ROLE_PROBABILITY and ROLE_",
        ),
        (
            Toy,
            lambda t: _set(t, "probability", category="true"),
            r"Prediction\.probability: category belongs to ROLE_PRO",
        ),
        (with_sets, lambda t: _set(t, "has_true", may_be_missing=True), "ROLE_IN_SET needs a required column"),
        (
            Toy,
            lambda t: _add(t, "prediction", "p", "double", _IN_SET, category="a"),
            "ROLE_IN_SET needs a bool, this is",
        ),
        (
            Toy,
            lambda t: _add(t, "prediction", "p", "bool", _PROBABILITY, category="a"),
            "ROLE_PROBABILITY needs a double",
        ),
        (Toy, lambda t: _add(t, "row", "low", "double", _LOWER), "known only afterwards, move to the outcome .*: low"),
        (
            Toy,
            lambda t: _add_role(t, "probability", options_pb2.ROLE_FEATURE),
            "probability has the roles ROLE_FEATURE, ROLE_PREDICTION; a column of a prediction needs exactly one of",
        ),
        # What needs an event time.
        (
            _without_time,
            lambda t: _rule(t, largest_gap_s=60),
            "Row: largest_gap_s needs a column with ROLE_EVENT_TIME, ",
        ),
        (
            _without_time,
            lambda t: _rule(t, disorder_budget=0),
            "Row: disorder_budget needs a column with ROLE_EVENT_TIME",
        ),
        (Toy, _empty_row, r"Row has no column; declare one for each value that a caller sends"),
    ],
)
def test_a_wrong_role_is_refused_with_place_and_remedy(
    make: Callable[..., Toy], bend: Callable[[Toy], object], message: str
) -> None:
    toy = make() if make is Toy else make(Toy())
    bend(toy)
    with pytest.raises(ContractError, match=message):
        toy.read()


def _set_roles(toy: Toy, name: str, role: options_pb2.Role.ValueType, **options: Any) -> None:
    _add_role(toy, name, role)
    _set(toy, name, **options)


def test_rules_about_time_are_refused_together() -> None:
    toy = _without_time(Toy())
    _rule(toy, largest_gap_s=60, disorder_budget=0.5)
    with pytest.raises(ContractError) as error:
        toy.read()
    assert [line.split()[1] for line in str(error.value).splitlines()] == ["largest_gap_s", "disorder_budget"]


def test_a_wrong_column_of_the_answer_is_the_only_problem_named() -> None:
    """And not that the answer lacks what could not be read."""
    toy = Toy()
    _set(toy, "probability", minimum=1, maximum=0)
    with pytest.raises(ContractError) as error:
        toy.read()
    assert str(error.value) == "toy.v1.Prediction.probability: minimum 1 is above maximum 0"


def test_a_timestamp_without_the_role_is_a_column_as_others() -> None:
    toy = _without_time(Toy())
    toy.row.field.append(make_field("seen", 8, TIMESTAMP, description="When it was seen", may_be_missing=True))
    assert toy.read().event_time is None


def test_without_a_key_requests_are_shared_by_their_ids() -> None:
    wire = _without_key(Toy()).read().wire
    assert not tells_callers_apart(wire)
    assert describe_assignment(wire) == (
        "The contract has no key that could tell callers apart. A request goes to one side by the header "
        "x-athanor-sticky-key, or else by its id, x-request-id; send the header to keep a caller on one side"
    )
