"""Drift among more categories than a profile lists: renamed ones are seen, chance is not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.drifts import TOY, compare, drifted, find, make_toy
from support.protos import Toy

from athanor.data.profiles.drift import Statistic, measure_drift
from athanor.data.profiles.profile import MOST_CATEGORIES, Profile, TextProfile, count_buckets, profile

_INDEX, _JS = Statistic.POPULATION_STABILITY, Statistic.JENSEN_SHANNON


def _draw(seed: int, categories: int, rows: int, skew: float = 0.0, prefix: str = "c") -> NDArray[np.object_]:
    """Categories drawn with shares that fall by a power of their rank; all alike for 0."""
    shares = np.arange(1, categories + 1) ** -skew
    chosen = np.random.default_rng(seed).choice(categories, rows, p=shares / shares.sum())
    return np.array([f"{prefix}{category:05}" for category in chosen], dtype=object)


@pytest.mark.parametrize(
    ("categories", "rows"), [(201, 2_000), (250, 3_000), (1_000, 10_000), (5_000, 100_000), (20_000, 400_000)]
)
def test_evenly_frequent_categories_that_are_all_renamed_drift(categories: int, rows: int) -> None:
    before, after = _draw(1, categories, rows), _draw(2, categories, rows, prefix="d")
    report = compare(make_toy(color=before), make_toy(color=after))
    assert drifted(report) == {"color"}
    assert find(report, "color", _INDEX).value > 0.2
    assert find(report, "color", _INDEX).p_value < 1e-9
    assert find(report, "color", _JS).value > 0.2


def test_a_quarter_of_the_categories_renamed_drifts() -> None:
    before, after = _draw(1, 400, 40_000), _draw(2, 400, 40_000)
    after = np.array([f"new{name}" if name < "c00100" else name for name in after], dtype=object)
    found = find(compare(make_toy(color=before), make_toy(color=after)), "color", _INDEX)
    assert found.has_drifted


def test_a_long_tail_behind_listed_categories_that_is_renamed_drifts() -> None:
    """A hundred frequent categories stay as they are, and a third of the rows are of 2,000 rare ones."""
    frequent = _draw(3, 100, 40_000, prefix="f")
    before, after = (np.append(frequent, _draw(1, 2_000, 20_000, prefix=prefix)) for prefix in ("c", "d"))
    assert drifted(compare(make_toy(color=before), make_toy(color=after))) == {"color"}


@pytest.mark.parametrize("skew", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize(("before", "after"), [(2_000, 2_000), (20_000, 20_000), (50_000, 1_000), (500, 50_000)])
@pytest.mark.parametrize("categories", [300, 5_000])
def test_two_samples_of_one_distribution_do_not_drift(categories: int, before: int, after: int, skew: float) -> None:
    first, second = (make_toy(color=_draw(seed, categories, rows, skew)) for seed, rows in ((1, before), (2, after)))
    assert drifted(compare(first, second)) == set()


def test_identifiers_of_one_row_each_do_not_drift() -> None:
    before, after = (make_toy(color=[f"{side}{row}" for row in range(20_000)]) for side in "ab")
    report = compare(before, after)
    assert drifted(report) == set()
    assert find(report, "color", _INDEX).value < 0.1


def test_chance_is_rarely_significant() -> None:
    """Over many pairs of samples: no more false alarms than the level says, of a contract without budgets' help."""
    toy = Toy()
    toy.column("color").drift_budget = 0
    contract = toy.read()
    pairs, alarms = 60, 0
    for seed in range(pairs):
        before, after = (make_toy(color=_draw(side, 600, 4_000)) for side in (2 * seed, 2 * seed + 1))
        alarms += find(compare(before, after, contract), "color", _INDEX).has_drifted
    assert alarms <= 0.1 * pairs


def _text(values: NDArray[np.object_]) -> TextProfile:
    found = profile(TOY.dataset_columns, make_toy(color=values)).columns["color"]
    assert isinstance(found, TextProfile)
    return found


def test_buckets_depend_on_the_values_alone_and_add_up() -> None:
    values = _draw(1, 500, 5_000)
    found, other = _text(values), _text(_draw(2, 800, 7_000))
    assert _text(values[::-1]).buckets == found.buckets
    both = _text(np.append(values, _draw(2, 800, 7_000)))
    assert both.buckets == tuple(np.add(found.buckets, other.buckets).tolist())
    # For profiles in releases the hash must stay as it is.
    assert np.flatnonzero(count_buckets(["a", "ä", "c00001"], [1, 2, 3])).tolist() == [57, 559, 2253]


def test_few_categories_need_no_buckets() -> None:
    found = _text(_draw(1, MOST_CATEGORIES, 5_000))
    assert found.buckets == ()
    known = found.count_buckets()
    assert known is not None
    assert known.sum() == 5_000


def test_few_categories_that_become_many_drift() -> None:
    sides = make_toy(color=_draw(1, 100, 5_000)), make_toy(color=_draw(2, 1_000, 5_000, prefix="d"))
    assert drifted(compare(*sides)) == drifted(compare(*sides[::-1])) == {"color"}


def test_a_profile_without_buckets_is_read_and_compared_as_before() -> None:
    current = profile(TOY.dataset_columns, make_toy(color=_draw(1, 400, 4_000)))
    color = _text(_draw(1, 400, 4_000))
    written = json.loads(current.to_json())
    assert sum(written["columns"]["color"].pop("buckets")) == 4_000
    earlier = Profile.from_json(json.dumps(written))
    assert earlier.columns["color"] == replace(color, buckets=())
    assert not measure_drift(TOY, earlier, current).has_drifted
    assert Profile.from_json(current.to_json()) == current
