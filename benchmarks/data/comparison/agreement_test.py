"""Contenders with other results are noticed, and contenders with equal results are not."""

from __future__ import annotations

import pytest

from data.comparison.agreement import differences, drift_differences

OURS = {
    "carrier jensenshannon": 0.019,
    "temperature mean of current": 62.7,
    "temperature psi": 0.6,
    "distance psi": 0.01,
    "pressure psi": 0.26,
}


def test_the_same_results_agree() -> None:
    assert list(differences({"carrier PATTERN": 20, "x sum": 0.1 + 0.2}, {"carrier PATTERN": 20, "x sum": 0.3})) == []


def test_every_difference_is_told() -> None:
    found = list(differences({"carrier PATTERN": 20, "UNIQUE": 24}, {"carrier PATTERN": 19, "origin CATEGORY": 1}))
    assert found == [
        "UNIQUE was not found, expected is 24",
        "carrier PATTERN is 19, expected is 20",
        "origin CATEGORY is 1, expected is nothing",
    ]


def test_drifts_by_other_bins_agree_while_they_say_the_same() -> None:
    theirs = {**OURS, "temperature psi": 0.58, "pressure psi": 0.19}
    del theirs["distance psi"]
    assert list(drift_differences(OURS, {**theirs, "distance kl": 0.003})) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("carrier jensenshannon", 0.02),
        ("temperature mean of current", 62.8),
        ("temperature psi", 0.05),
        ("distance psi", 0.9),
    ],
)
def test_a_contradicting_drift_is_told(name: str, value: float) -> None:
    assert [text.split(" is ")[0] for text in drift_differences(OURS, {**OURS, name: value})] == [name]


def test_a_contradicting_divergence_is_told() -> None:
    theirs = {name: value for name, value in OURS.items() if name != "distance psi"}
    found = list(drift_differences(OURS, {**theirs, "distance kl": 0.9}))
    assert found == ["distance kl is 0.9, our population stability index 0.01"]


def test_near_the_limit_bins_may_decide() -> None:
    assert list(drift_differences(OURS, {**OURS, "pressure psi": 0.19})) == []


def test_what_was_not_measured_is_told() -> None:
    found = {"carrier jensenshannon": 0.019, "temperature psi": 0.49, "distance psi": 0.01}
    assert list(drift_differences(OURS, found)) == [
        "temperature mean of current was not found",
        "no drift of pressure was found",
    ]


def test_what_ours_does_not_measure_is_not_compared() -> None:
    assert list(drift_differences(OURS, {**OURS, "arrived_late jensenshannon": 0.9, "flight_number psi": 0.3})) == []
