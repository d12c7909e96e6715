"""Recipes: checked where they are declared, and named by their code."""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from support.flights import make_columns

from athanor.errors import ContractError
from athanor.training.evaluation.slices import by_column
from athanor.training.gates.metrics import Floor
from athanor.training.recipe import Candidate, Recipe


def _space(**space: Any) -> Mapping[str, Any]:
    return {"candidates": (Candidate("one", DummyClassifier(), space),)}


def test_all_that_is_wrong_is_listed(make_recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ContractError, match=r"has 3 problems:\n  - .*folds is 0.*\n  - .*trials is -1.*\n  - .*nope"):
        make_recipe(folds=0, trials=-1, **_space(nope=(1,)))


def test_a_split_without_a_time_zone_is_refused(make_recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ContractError, match="test_from 2013-10-01 00:00:00 has no time zone"):
        make_recipe(test_from=datetime(2013, 10, 1))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"gates": (Floor("roc_auc", at_least=0.6),) * 2}, "has gates with the same name: "),
        ({"slices": (by_column("origin"),) * 2}, "has slices with the same name: origin"),
        ({"candidates": (Candidate("one", DummyClassifier(), {}),) * 2}, "has candidates with the same name: one"),
        ({"candidates": ()}, "has no candidates; add at least one"),
        ({"folds": 1}, "folds is 1; it must be at least 2"),
        ({"trials": 0}, "trials is 0; it must be at least 1, or None for all combinations"),
        ({"scoring": "auc"}, "scoring is 'auc', which scikit-learn does not have; use one of roc_auc"),
        (_space(strateg=("prior",)), "'one': the parameter strateg does not exist .* did you mean strategy"),
        (_space(strategy=()), r"the parameter strategy has the values \(\); give at least one"),
        (_space(strategy="prior"), "the parameter strategy has the values 'prior'; give at least one in a tuple"),
        (_space(constant=(DummyClassifier(),)), "has a value of type DummyClassifier; allowed are bool"),
    ],
)
def test_duplicate_names_and_untrainable_recipes_are_refused(
    make_recipe: Callable[..., Recipe], parts: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        make_recipe(**parts)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-5))])
def test_rows_from_the_split_on_are_for_evaluation(make_recipe: Callable[..., Recipe], zone: timezone) -> None:
    instants = [datetime(2013, 1, 1, 5, 36, 59, tzinfo=UTC), datetime(2013, 1, 1, 5, 37, tzinfo=UTC)]
    recipe = make_recipe(test_from=instants[1].astimezone(zone))
    columns = {
        **make_columns(2),
        "scheduled_departure": np.array([at.replace(tzinfo=None) for at in instants], "M8[us]"),
    }
    assert recipe.is_test(columns).tolist() == [False, True]


def test_the_digest_sees_code_and_neither_comments_nor_layout(
    make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(name: str, code: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(code)
        module = ModuleType(name)
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, name, module)
        return make_recipe(declared_in=name).digest

    one = digest("recipe_one", "SEED = 0\n")
    assert digest("recipe_two", "# The seed.\n\nSEED  =  0\n") == one
    assert digest("recipe_three", "SEED = 1\n") != one
