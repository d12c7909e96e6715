"""Profiles against counting in plain Python."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.flights import make_columns
from support.properties import PROPERTY
from support.protos import Toy

from athanor.data.profiles.profile import (
    ColumnProfile,
    NumberProfile,
    Profile,
    TextProfile,
    TimeProfile,
    profile,
    profile_column,
)
from athanor.errors import DataError
from projects.delays.model import MODEL

_CONTRACT = Toy().read()
_AT, _AMOUNT, _COUNT, _COLOR, _IS_NEW = map(_CONTRACT.column, ("at", "amount", "count", "color", "is_new"))
_NUMBERS = st.lists(st.sampled_from([math.nan, -0.0, 0.0, 1.0, 2.5]) | st.floats(-100, 100), max_size=40)
_TEXTS = st.lists(
    st.sampled_from(["", "red", "green"]) | st.text(st.characters(codec="utf-8"), max_size=2), max_size=40
)
_INSTANTS = st.lists(st.none() | st.integers(-(10**16), 10**17), max_size=5)


def _numbers(values: Sequence[float], most_knots: int | None = None) -> NumberProfile:
    found = profile_column(_AMOUNT, np.array(values, dtype=np.float64), most_knots)
    assert isinstance(found, NumberProfile)
    return found


def _texts(values: Sequence[str]) -> TextProfile:
    found = profile_column(_COLOR, np.array(values, dtype=object))
    assert isinstance(found, TextProfile)
    return found


def _times(values: Sequence[int | None]) -> TimeProfile:
    stamps = [np.datetime64("NaT") if value is None else np.datetime64(value, "us") for value in values]
    found = profile_column(_AT, np.array(stamps, dtype="M8[us]"))
    assert isinstance(found, TimeProfile)
    return found


@PROPERTY
@given(_NUMBERS)
def test_numbers_are_counted_at_every_distinct_value(values: list[float]) -> None:
    found, present = _numbers(values), [value for value in values if not math.isnan(value)]
    assert found.knots.tolist() == sorted(set(present))
    assert found.at_most.tolist() == [sum(value <= knot for value in present) for knot in sorted(set(present))]
    assert (found.rows, found.missing, found.present) == (len(values), len(values) - len(present), len(present))
    assert found.is_exact
    assert found.mean == pytest.approx(statistics.fmean(present) if present else math.nan, abs=1e-9, nan_ok=True)
    deviation = statistics.pstdev(present) if present else math.nan
    assert found.deviation == pytest.approx(deviation, abs=1e-9, nan_ok=True)


@PROPERTY
@given(_NUMBERS, st.integers(2, 8))
def test_a_sketch_has_few_knots_with_exact_counts_and_little_between_them(values: list[float], most: int) -> None:
    exact, found = _numbers(values), _numbers(values, most)
    assert found.is_exact == (len(exact.knots) <= most)
    assert len(found.knots) <= most
    np.testing.assert_array_equal(found.at_most, exact.count_at_most(found.knots))
    assert set(exact.knots[[0, -1]] if exact.present else []) <= set(found.knots)
    assert (found.mean, found.deviation) == pytest.approx((exact.mean, exact.deviation), abs=0, nan_ok=True)
    unseen = exact.count_at_most(exact.knots) - found.count_at_most(exact.knots)
    assert np.all((unseen >= 0) & (unseen * (most - 1) < max(exact.present, 1)))


def test_a_sketch_holds_a_thousand_evenly_spaced_ranks() -> None:
    found = profile_column(_AMOUNT, np.random.default_rng(0).permutation(np.arange(999_001.0)))
    assert isinstance(found, NumberProfile)
    assert not found.is_exact
    np.testing.assert_array_equal(found.knots, np.arange(1_000) * 1_000.0)
    np.testing.assert_array_equal(found.at_most, np.arange(1_000) * 1_000 + 1)


def test_a_sketch_of_one_knot_is_refused() -> None:
    with pytest.raises(ValueError, match="2 knots"):
        _numbers([1, 2, 3], most_knots=1)


@PROPERTY
@given(_NUMBERS, st.integers(2, 8), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit(values: list[float], most: int, random: Any) -> None:
    shuffled = random.sample(values, len(values))
    columns = [_AMOUNT]
    first, second = (profile(columns, {"amount": np.array(v, dtype=float)}, most) for v in (values, shuffled))
    assert first == second
    assert first.to_json() == second.to_json()


@PROPERTY
@given(_NUMBERS, st.lists(st.floats(-110, 110), max_size=5))
def test_counts_are_known_at_every_point(values: list[float], points: list[float]) -> None:
    expected = [sum(value <= point for value in values) for point in points]
    assert _numbers(values).count_at_most(points).tolist() == expected


@PROPERTY
@given(_NUMBERS.filter(lambda values: not all(map(math.isnan, values))), st.lists(st.floats(0, 1), max_size=5))
def test_quantiles_equal_numpys_inverted_cdf(values: list[float], shares: list[float]) -> None:
    present = [value for value in values if not math.isnan(value)]
    expected = np.quantile(np.array(present) + 0.0, shares, method="inverted_cdf")
    np.testing.assert_array_equal(_numbers(values).quantiles(shares), expected)


def test_quantiles_of_an_empty_column_are_nan() -> None:
    np.testing.assert_array_equal(_numbers([math.nan]).quantiles([0.1, 0.5]), [math.nan, math.nan])


def test_an_infinity_counts_as_the_largest_number_of_its_sign() -> None:
    largest = float(np.finfo(np.float64).max)
    found = _numbers([math.inf, 0, -math.inf, largest])
    assert found.knots.tolist() == [-largest, 0, largest]
    assert found.at_most.tolist() == [1, 2, 4]
    assert math.isnan(found.deviation)
    assert Profile.from_json(Profile(4, {"amount": found}).to_json()).columns["amount"] == found


@PROPERTY
@given(_TEXTS)
def test_categories_stand_by_frequency_then_by_name(values: list[str]) -> None:
    found, counted = _texts(values), Counter(value for value in values if value)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    assert list(zip(found.categories, found.counts, strict=True)) == ranked
    assert (found.rows, found.present) == (len(values), counted.total())
    assert (found.missing, found.distinct, found.further) == (values.count(""), len(counted), 0)


def test_rare_categories_beyond_two_hundred_are_counted_together() -> None:
    names = [f"{n:03}" for n in range(250)]
    found = _texts([*names[::-1], *names[:20], "249"])
    assert found.categories == (*names[:20], "249", *names[20:199])
    assert found.counts == (2,) * 21 + (1,) * 179
    assert (found.distinct, found.further) == (250, 50)


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(DataError, match="color contains text that is not valid Unicode"):
        _texts(["red", "\ud800"])


@PROPERTY
@given(_INSTANTS)
def test_instants_have_a_first_and_a_last(values: list[int | None]) -> None:
    present = [np.datetime64(value, "us") for value in values if value is not None]
    found = _times(values)
    assert (found.rows, found.missing, found.present) == (len(values), values.count(None), len(present))
    assert (found.first, found.last) == (min(present, default=None), max(present, default=None))


@pytest.mark.parametrize("rows", [0, 1, 20])
def test_every_column_is_profiled_by_its_kind(rows: int) -> None:
    values = make_columns(20)
    found = profile(MODEL.contract.dataset_columns, {name: array[:rows] for name, array in values.items()})
    assert found.rows == rows
    kinds = {"text": TextProfile, "timestamp": TimeProfile}
    for column in MODEL.contract.dataset_columns:
        assert type(found.columns[column.name]) is kinds.get(column.kind.value, NumberProfile)
        assert found.columns[column.name] == profile_column(column, values[column.name][:rows])


def _profile(numbers: Sequence[float], texts: Sequence[str], times: Sequence[int | None]) -> Profile:
    rows = min(map(len, (numbers, texts, times)))
    columns: dict[str, ColumnProfile] = {
        "amount": _numbers(numbers[:rows], 4),
        "color": _texts(texts[:rows]),
        "at": _times(times[:rows]),
    }
    return Profile(rows, columns)


@PROPERTY
@given(st.lists(st.floats(), max_size=20), _TEXTS, _INSTANTS)
def test_profiles_travel_as_json_to_the_last_bit(
    numbers: list[float], texts: list[str], times: list[int | None]
) -> None:
    sent = _profile(numbers, texts, times)
    text = sent.to_json()
    received = Profile.from_json(text)
    assert received == sent
    assert received.to_json() == text
    # Whatever no standard knows is refused by this.
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


_SENT = _profile([1.5, math.nan, 2, 2], ["b", "a", "a", ""], [0, 1_000_000, None, 2_000_000])


def test_profiles_read_well() -> None:
    assert json.loads(_SENT.to_json()) == {
        "rows": 4,
        "columns": {
            "amount": {
                "rows": 4,
                "missing": 1,
                "knots": [1.5, 2.0],
                "at_most": [1, 3],
                "is_exact": True,
                "mean": pytest.approx(5.5 / 3),
                "deviation": pytest.approx(0.2357, abs=1e-4),
            },
            "color": {
                "rows": 4,
                "missing": 1,
                "distinct": 2,
                "categories": ["a", "b"],
                "counts": [2, 1],
                "further": 0,
            },
            "at": {
                "rows": 4,
                "missing": 1,
                "first": "1970-01-01T00:00:00.000000",
                "last": "1970-01-01T00:00:02.000000",
            },
        },
    }


def _set(column: str, **values: object) -> Callable[[Any], None]:
    return lambda tree: tree["columns"][column].update(values)


@pytest.mark.parametrize(
    ("bend", "place"),
    [
        (lambda tree: tree.update(rows=5), "5 rows, but not in amount, color, at"),
        (lambda tree: tree.update(rows="4"), "rows"),
        (lambda tree: tree.update(more=1), "more"),
        (lambda tree: tree.pop("columns"), "columns"),
        (lambda tree: tree["columns"].update(amount=7), "amount"),
        (lambda tree: tree["columns"]["amount"].pop("mean"), r"amount\.knots\.mean"),
        (_set("amount", kurtosis=3), r"amount\.knots\.kurtosis"),
        (_set("amount", missing=-1), r"amount\.knots\.missing"),
        (_set("amount", missing=2), "make a distribution function"),
        (_set("amount", rows=True), r"amount\.knots\.rows"),
        (_set("amount", is_exact=1), r"amount\.knots\.is_exact"),
        (_set("amount", mean="2"), r"amount\.knots\.mean"),
        (_set("amount", mean=math.nan), r"amount\.knots\.mean"),
        (_set("amount", deviation=-1.0), "make a distribution function"),
        (_set("amount", deviation=math.inf), r"amount\.knots\.deviation"),
        (_set("amount", knots=[2.0, 1.5]), "make a distribution function"),
        (_set("amount", knots=[1.5]), "make a distribution function"),
        (_set("amount", knots=[1.5, math.nan]), r"amount\.knots\.knots.*finite numbers"),
        (_set("amount", knots=[1.5, "2"]), r"amount\.knots\.knots.*finite numbers"),
        (_set("amount", knots="12"), r"amount\.knots\.knots.*finite numbers"),
        (_set("amount", at_most=[3, 3]), "make a distribution function"),
        (_set("amount", at_most=[1, 2]), "make a distribution function"),
        (_set("amount", at_most=[1.0, 3]), r"amount\.knots\.at_most.*integers"),
        (_set("amount", at_most=[0, 3]), r"amount\.knots\.at_most.*positive"),
        (_set("amount", at_most=[1, 2**63]), r"amount\.knots\.at_most"),
        (_set("amount", knots=[], at_most=[]), "make a distribution function"),
        (_set("color", counts=[2]), "counts do not match"),
        (_set("color", categories=["a", ""]), "counts do not match"),
        (_set("color", categories=["a", 1]), r"color\.categories\.categories"),
        (_set("color", counts=[1, 2]), "make a distribution"),
        (_set("color", counts=[3, 0]), "make a distribution"),
        (_set("color", counts=[1, 1], categories=["b", "a"], further=1, distinct=3), "make a distribution"),
        (_set("color", categories=["a", "a"]), "make a distribution"),
        (_set("color", further=1), "make a distribution"),
        (_set("color", distinct=3), "make a distribution"),
        (_set("color", counts=[1, 1], further=1), "make a distribution"),
        (_set("at", first=None), "make a period"),
        (_set("at", first=None, last=None), "make a period"),
        (_set("at", missing=4), "make a period"),
        (_set("at", first="1970-01-02T00:00:00.000000"), "make a period"),
        (_set("at", last="tomorrow"), r"at\.first\.last"),
        (_set("at", last="1971"), r"at\.first\.last.*microseconds"),
        (_set("at", last="NaT"), r"at\.first\.last.*microseconds"),
        (_set("at", last=7), r"at\.first\.last"),
    ],
)
def test_a_broken_profile_is_refused(bend: Callable[[Any], None], place: str) -> None:
    tree = json.loads(_SENT.to_json())
    bend(tree)
    with pytest.raises(DataError, match=f"this is not a profile: .*{place}"):
        Profile.from_json(json.dumps(tree))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff", "7"])
def test_text_that_is_not_a_profile_is_refused(text: str | bytes) -> None:
    with pytest.raises(DataError, match="this is not a profile"):
        Profile.from_json(text)


@pytest.mark.parametrize(
    ("values", "others"),
    [([1.0, 2], [1.0, 3]), ([1.0, 2], [1.0, 1, 2]), ([1.0], [1.0, math.nan]), ([], [math.nan])],
)
def test_profiles_of_other_numbers_differ(values: list[float], others: list[float]) -> None:
    assert _numbers(values) != _numbers(others)
    assert _numbers(values) != _texts([])


def test_a_thousand_columns_of_a_few_rows_stay_small() -> None:
    """A profile of few distinct values stays small."""
    text = Profile(3, dict.fromkeys(map(str, range(1_000)), _numbers([1, 2, math.nan]))).to_json()
    assert len(text) < 200_000


def test_booleans_and_integers_are_profiled_as_numbers() -> None:
    values: dict[str, NDArray[Any]] = {"is_new": np.array([1.0, 0, 1, math.nan]), "count": np.array([7.0, 7, 7, 7])}
    found = profile([_IS_NEW, _COUNT], values).columns
    assert isinstance(found["is_new"], NumberProfile)
    assert (found["is_new"].knots.tolist(), found["is_new"].at_most.tolist()) == ([0, 1], [1, 3])
    assert isinstance(found["count"], NumberProfile)
    assert (found["count"].mean, found["count"].deviation) == (7, 0)
