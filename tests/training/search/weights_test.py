"""Weights of rows reach each fit, each score and the evaluation."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_squared_error
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from support.tables import make_model, make_recipe_of, make_table

from athanor.errors import ContractError
from athanor.training.candidates import Candidate
from athanor.training.evaluation.evidence import Rows
from athanor.training.search.folds import make_folds
from athanor.training.search.preflight import require_workable
from athanor.training.search.search import fit, search
from athanor.training.search.weights import weight_fit

_MODEL = make_model("number", with_weight=True)


def _over_amount(estimator: Any) -> Any:
    return make_pipeline(ColumnTransformer([("amount", SimpleImputer(), [0])]), estimator)


def _prepare(estimator: Any) -> tuple[Any, Rows]:
    recipe = make_recipe_of(_MODEL, candidates=(Candidate("one", _over_amount(estimator), {}),))
    return recipe, Rows.make(recipe.task, _MODEL, make_table(_MODEL.contract, 120))


def test_fits_and_scores_of_a_search_are_weighted(tmp_path: Path) -> None:
    """The independent way: Ridge and the root of the mean squared error with the fold's weights."""
    recipe, rows = _prepare(Ridge())
    assert rows.weights is not None
    with joblib.parallel_config(backend="sequential"):
        (trial,) = search(recipe, rows, tmp_path).trials
    amount = SimpleImputer().fit_transform(rows.frame[["amount"]])
    for fold, score in zip(make_folds(recipe, rows), trial.scores, strict=True):
        plain = Ridge().fit(amount[fold.fitted], rows.labels[fold.fitted], rows.weights[fold.fitted])
        error = mean_squared_error(
            rows.labels[fold.validated],
            plain.predict(amount[fold.validated]),
            sample_weight=rows.weights[fold.validated],
        )
        assert score == pytest.approx(-np.sqrt(error))


def test_the_last_fit_is_weighted() -> None:
    recipe, rows = _prepare(Ridge())
    found = fit("one", recipe.candidates[0].pipeline, {}, rows)
    amount = SimpleImputer().fit_transform(rows.frame[["amount"]])
    assert found[-1].coef_ == pytest.approx(Ridge().fit(amount, rows.labels, rows.weights).coef_)
    assert found[-1].coef_ != pytest.approx(Ridge().fit(amount, rows.labels).coef_)


def test_an_estimator_that_takes_no_weights_is_refused_by_name() -> None:
    recipe, rows = _prepare(KNeighborsRegressor())
    message = (
        "candidate 'one' cannot be fitted: TypeError: KNeighborsRegressor takes no sample_weight, .* "
        "Use an estimator that takes sample_weight, or remove ROLE_WEIGHT"
    )
    with pytest.raises(ContractError, match=message):
        require_workable(recipe, rows.take(np.arange(100)), rows.take(np.arange(100, 120)))


@pytest.mark.parametrize(
    ("pipeline", "name"),
    [
        (LogisticRegression(), "sample_weight"),
        (make_pipeline(SimpleImputer(), RandomForestClassifier()), "randomforestclassifier__sample_weight"),
        (make_pipeline(SimpleImputer(), make_pipeline(Ridge())), "pipeline__ridge__sample_weight"),
    ],
)
def test_weights_are_for_the_last_step(pipeline: Any, name: str) -> None:
    weights = np.ones(3)
    assert weight_fit(pipeline, weights) == {name: weights}
    assert weight_fit(pipeline, None) == {}
