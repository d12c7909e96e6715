"""What breaks those who call by an older contract, and what does not."""

from collections.abc import Callable

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from support.protos import Toy, make_field

from athanor.contract.compatibility import find_breaking_changes


def _find(change: Callable[[Toy], object], before: Callable[[Toy], object] | None = None) -> tuple[str, ...]:
    old, new = Toy(), Toy()
    if before:
        before(old)
    change(new)
    return find_breaking_changes(old.read().promises, new.read().promises)


def _set(toy: Toy, name: str, **options: object) -> None:
    for option, value in options.items():
        setattr(toy.column(name), option, value)


def _add(toy: Toy, **options: object) -> None:
    toy.row.field.append(make_field("weight", 20, "double", description="How heavy", **options))


def _rename(toy: Toy, name: str) -> None:
    toy.field(name).name = f"other_{name}"


def _restrict(toy: Toy) -> None:
    toy.column("code").ClearField("pattern")
    toy.column("code").categories.extend(["A", "B"])


def _free(toy: Toy) -> None:
    toy.column("color").ClearField("categories")


def _lose_red(toy: Toy) -> None:
    toy.column("color").categories.remove("red")


def _match(toy: Toy) -> None:
    _free(toy)
    toy.column("color").pattern = "red|green"


def _make_float(toy: Toy) -> None:
    toy.field("amount").type = FieldDescriptorProto.TYPE_FLOAT


def _renumber(toy: Toy) -> None:
    toy.field("amount").number = 30


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: setattr(t.service, "name", "Other"), "method toy.v1.ToyService/Predict became toy.v1.Other/Predict"),
        (lambda t: t.remove("count"), "field toy.v1.Row.count was removed or changed on the wire"),
        (_make_float, "field toy.v1.Row.amount was removed or changed on the wire"),
        (_renumber, "field toy.v1.Row.amount was removed or changed on the wire"),
        (_add, "column weight is new and required"),
        (lambda t: _set(t, "amount", unit="g"), "column amount changed its unit from 'kg' to 'g'"),
        (lambda t: _set(t, "probability", unit="%"), "column probability changed its unit from '' to '%'"),
        (lambda t: _set(t, "code", may_be_missing=False), "column code became required"),
        (lambda t: _set(t, "amount", minimum=0.5), "column amount raised its minimum to 0.5"),
        (lambda t: _set(t, "amount", maximum=8), "column amount lowered its maximum to 8"),
        (lambda t: _set(t, "id", maximum=8), "column id lowered its maximum to 8"),
        (_lose_red, "column color lost categories: red"),
        (_restrict, "column code became restricted to categories"),
        (lambda t: _set(t, "code", pattern="[A-Z]"), "column code changed its pattern"),
        (_match, "column color changed its pattern"),
    ],
)
def test_what_an_older_caller_would_stumble_over_is_told(change: Callable[[Toy], object], told: str) -> None:
    assert _find(change) == (told,)


@pytest.mark.parametrize(
    ("name", "message"),
    [("amount", "Row"), ("rows", "PredictRequest"), ("predictions", "PredictResponse"), ("probability", "Prediction")],
)
def test_a_renamed_field_is_a_removed_one(name: str, message: str) -> None:
    """JSON knows fields by name."""
    assert f"field toy.v1.{message}.{name} was removed or changed on the wire" in _find(lambda t: _rename(t, name))


@pytest.mark.parametrize("bound", ["minimum", "maximum"])
def test_a_bound_where_there_was_none_is_narrower(bound: str) -> None:
    def unbound(toy: Toy) -> None:
        toy.column("amount").ClearField(bound)  # type: ignore[arg-type]  # one of two literals

    (told,) = _find(lambda toy: None, before=unbound)
    assert told.startswith("column amount ")
    assert told.endswith({"minimum": "raised its minimum to 0", "maximum": "lowered its maximum to 9"}[bound])


@pytest.mark.parametrize(
    "change",
    [
        lambda t: None,
        lambda t: _set(t, "amount", description="Other words"),
        lambda t: _add(t, may_be_missing=True),
        lambda t: t.response.field.append(make_field("cost", 9, "double")),
        lambda t: _set(t, "color", may_be_missing=True),
        lambda t: _set(t, "amount", minimum=-1),
        lambda t: _set(t, "amount", maximum=10),
        lambda t: t.column("amount").ClearField("minimum"),
        lambda t: t.column("amount").ClearField("maximum"),
        lambda t: t.column("color").categories.append("blue"),
        _free,
        lambda t: t.column("code").ClearField("pattern"),
        lambda t: _set(t, "count", missing_budget=0.1),
        lambda t: _set(t, "color", drift_budget=0.5),
    ],
)
def test_what_only_allows_more_breaks_nobody(change: Callable[[Toy], object]) -> None:
    assert _find(change) == ()


def test_everything_that_breaks_is_told_at_once() -> None:
    def change(toy: Toy) -> None:
        toy.remove("count")
        _add(toy)
        _set(toy, "amount", minimum=1, maximum=2)

    assert len(_find(change)) == 4
