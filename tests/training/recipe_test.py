"""Recipes: checked where they are declared, and named by their code."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sklearn.dummy import DummyClassifier
from support.tables import TASKS, make_model, make_recipe_of

from athanor.errors import ContractError
from athanor.features.features import Model
from athanor.training.candidates import Candidate
from athanor.training.evaluation.slices import by_column
from athanor.training.gates.coverage import Coverage
from athanor.training.gates.defaults import ALWAYS
from athanor.training.gates.metrics import BetterThanBaseline, Floor
from athanor.training.gates.refit import NearEvaluated
from athanor.training.recipe import Recipe
from athanor.training.splits import Latest, Share


def _space(**space: Any) -> Mapping[str, Any]:
    return {"candidates": (Candidate("one", DummyClassifier(), space),)}


def test_all_that_is_wrong_is_listed(make_recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ContractError, match=r"has 3 problems:\n  - .*folds is 0.*\n  - .*trials is -1.*\n  - .*nope"):
        make_recipe(folds=0, trials=-1, **_space(nope=(1,)))


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


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("with_time", [True, False])
def test_the_shortest_recipe_leaves_all_to_defaults_that_fit_the_task(task: str, with_time: bool) -> None:
    recipe = make_recipe_of(make_model(task, with_time=with_time))
    assert recipe.split == (Latest(0.2) if with_time else Share(0.2))
    assert (recipe.folds, recipe.refit) == ((2, True) if with_time else (5, False))
    assert recipe.coverage is None
    assert recipe.scoring == recipe.task.scoring
    assert [candidate.name for candidate in recipe.candidates] == ["linear", "boosting"]
    assert [type(gate) for gate in recipe.gates] == [BetterThanBaseline, *map(type, ALWAYS)]
    everything = {"split", "candidates", "baseline", "gates", "folds", "scoring", "coverage", "refit"}
    assert set(recipe.defaults) == everything


def test_what_is_given_is_no_default() -> None:
    recipe = make_recipe_of(make_model("binary"), split=Share(0.3), folds=3, gates=(), refit=True)
    assert (recipe.split, recipe.folds, recipe.gates, recipe.refit) == (Share(0.3), 3, (), True)
    assert set(recipe.defaults) == {"candidates", "baseline", "scoring", "coverage"}


def test_an_answer_with_columns_for_doubt_is_filled_and_gated() -> None:
    recipe = make_recipe_of(make_model("number", with_doubt=True))
    assert recipe.coverage == recipe.task.coverage == 0.9
    assert Coverage(at_least=0.75) in recipe.gates
    assert make_recipe_of(make_model("number", with_doubt=True), coverage=0.5).task.coverage == 0.5


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (make_model("number"), {"coverage": 0.9}, "no columns for it; declare columns with ROLE_LOWER and ROLE_UPPER"),
        (make_model("number", with_doubt=True), {"coverage": 1.0}, "coverage is 1; it must be above 0 and below 1"),
        (
            make_model("number", with_time=False),
            {"split": Latest("60d")},
            r"Latest\(60d\) needs an event time.*use Share",
        ),
        (make_model("number"), {"gates": (Floor("roc_auc", at_least=0.6),)}, "unknown metric 'roc_auc'"),
        (make_model("number"), {"gates": (NearEvaluated(),), "refit": False}, "judges a refit, and there is none"),
        (make_model("number"), {"scoring": "rmse"}, "scoring is 'rmse', which scikit-learn does not have"),
    ],
)
def test_what_does_not_fit_the_contract_is_refused(model: Model, given: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        make_recipe_of(model, **given)


def test_default_candidates_have_the_seed_of_the_recipe() -> None:
    recipe = make_recipe_of(make_model("binary"), seed=7)
    assert recipe.candidates[1].pipeline[-1].random_state == 7


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
