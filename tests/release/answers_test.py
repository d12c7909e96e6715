"""Answers that differ, answers beyond their range, and differences that are none."""

from typing import Final

import numpy as np
import pytest
from support.tasks import SPECIES, make_binary, make_multiclass, make_regression

from athanor.contract.columns import Columns
from athanor.contract.validation import Rule
from athanor.release.answers import find_invalid, measure_difference, settle

_BINARY: Final = make_binary(with_sets=True).answer
_CLASSES: Final = make_multiclass().answer
_NUMBERS: Final = make_regression(with_interval=True).answer


def _classes(*rows: tuple[float, float, float]) -> Columns:
    probabilities = np.array(rows)
    named = {f"{name.lower()}_probability": probabilities[:, at] for at, name in enumerate(SPECIES)}
    return {"species": np.array(SPECIES, dtype=object)[probabilities.argmax(axis=1)], **named}


def _numbers(values: list[float], lower: list[float], upper: list[float]) -> Columns:
    return {"mass": np.array(values), "mass_from": np.array(lower), "mass_to": np.array(upper)}


def test_numbers_differ_by_the_largest_distance_of_their_columns() -> None:
    ours, theirs = _numbers([1, 2], [0, 1], [2, 3]), _numbers([1, 2.5], [-2, 1], [2, 3.25])
    np.testing.assert_array_equal(measure_difference(_NUMBERS, ours, theirs), [2, 0.5])


def test_a_column_that_one_answer_lacks_is_not_compared() -> None:
    theirs = {"mass": np.array([1.0]), "other": np.array([9.0])}
    np.testing.assert_array_equal(measure_difference(_NUMBERS, _numbers([1], [0], [2]), theirs), [0])


def test_nan_differs_from_everything() -> None:
    assert np.isnan(measure_difference(_NUMBERS, _numbers([np.nan], [0], [2]), _numbers([1], [0], [2]))[0])


def test_the_ends_of_an_interval_jump_where_bins_meet_and_nowhere_else() -> None:
    """The numbers of the first row lie to both sides of the edge, by rounding; those of the second do not."""
    ours = _numbers([9.9999999, 12.0], [8, 10], [11, 14])
    theirs = _numbers([10.0, 12.0], [6, 9], [15, 14])
    np.testing.assert_allclose(measure_difference(_NUMBERS, ours, theirs, edges=(10.0,)), [1e-7, 1], atol=1e-9)
    np.testing.assert_array_equal(measure_difference(_NUMBERS, ours, theirs), [4, 1])
    assert measure_difference(_NUMBERS, _numbers([9], [0], [9]), _numbers([11], [0], [9]), edges=(10.0,)) == 2


def test_another_category_differs_by_one_unless_the_probabilities_explain_it() -> None:
    ours = _classes((0.6, 0.3, 0.1), (0.4999999, 0.5, 0.0000001), (0.2, 0.2, 0.6))
    theirs = _classes((0.6, 0.3, 0.1), (0.5, 0.4999999, 0.0000001), (0.2, 0.2, 0.6))
    swapped = {**theirs, "species": np.array(["Gentoo", *theirs["species"][1:]], dtype=object)}
    assert list(ours["species"] == swapped["species"]) == [False, False, True]
    np.testing.assert_allclose(measure_difference(_CLASSES, ours, swapped), [1, 1e-7, 0], atol=1e-9)


def test_sets_follow_from_probabilities_and_are_not_compared() -> None:
    probability = {"probability": np.array([0.5])}
    ours, theirs = ({**probability, "may_be_true": np.array([value])} for value in (0.0, 1.0))
    np.testing.assert_array_equal(measure_difference(_BINARY, ours, theirs), [0])


@pytest.mark.parametrize("rows", [1, 20])
def test_what_rounding_moved_out_of_the_range_is_moved_back_and_no_more(rows: int) -> None:
    answers = {"probability": np.resize([1.0000001, -1e-7, 1.1, np.nan], rows)}
    settled = settle(_BINARY, answers)["probability"]
    np.testing.assert_array_equal(settled, np.resize([1.0, 0.0, 1.1, np.nan], rows))
    valid = {"probability": np.full(rows, 0.5)}
    assert settle(_BINARY, valid) is valid


def test_an_answer_that_breaks_the_contract_is_found() -> None:
    answers = {
        **_classes((0.2, 0.3, 0.5), (0.2, 0.3, 0.5)),
        "species": np.array(["Gentoo", "Emperor"], dtype=object),
        "adelie_probability": np.array([1.5, np.nan]),
    }
    found = {(breach.column.name, breach.rule, *breach.rows.tolist()) for breach in find_invalid(_CLASSES, answers)}
    assert found == {
        ("species", Rule.CATEGORY, 1),
        ("adelie_probability", Rule.MAXIMUM, 0),
        ("adelie_probability", Rule.REQUIRED, 1),
    }
