"""Recipes that can never be trained are refused before the search: all faults at once, with reasons and remedies."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.svm import SVC
from support.flights import make_columns
from support.pipelines import MakeRecipe, make_pipeline_over

from athanor.errors import ContractError, DataError
from athanor.tasks.tasks import task_of
from athanor.training.candidates import Candidate
from athanor.training.evaluation.evidence import Rows
from athanor.training.evaluation.slices import Slice, by_column
from athanor.training.search.preflight import require_workable
from projects.delays.model import MODEL

_POSITION = MODEL.features.position
_NUMERIC = _POSITION(*MODEL.features.numeric)
_TRAINED, _ALL = 265, 400


@pytest.fixture(autouse=True)
def _in_this_process() -> Iterator[None]:
    with joblib.parallel_config(backend="sequential"):
        yield


def _rows(count: int = _ALL, **changed: tuple[slice, Any]) -> Rows:
    columns = make_columns(count)
    for name, (where, value) in changed.items():
        columns[name][where] = value
    return Rows.make(task_of(MODEL.contract), MODEL, columns)


def _require(recipe: Any, rows: Rows | None = None, trained: int = _TRAINED) -> None:
    rows = rows or _rows()
    require_workable(recipe, rows.take(np.arange(trained)), rows.take(np.arange(trained, len(rows))))


def _over_numbers(*steps: Any) -> Any:
    return make_pipeline(ColumnTransformer([("numeric", SimpleImputer(), _NUMERIC)]), *steps)


def _encoded(encoder: Any) -> Any:
    return make_pipeline(ColumnTransformer([("text", encoder, _POSITION("destination"))]), LogisticRegression())


def _plain(name: str, final: Any) -> Any:
    return make_pipeline(ColumnTransformer([("numeric", "passthrough", _POSITION(name))]), final)


class _Uncertain(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Predicts NaN."""

    def fit(self, frame: Any, labels: Any) -> "_Uncertain":
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, frame: Any) -> Any:
        return np.full((len(frame), 2), np.nan)


class _Sure(_Uncertain):
    """Works, and has no converter."""

    def predict_proba(self, frame: Any) -> Any:
        return np.full((len(frame), 2), 0.5)


def test_what_can_be_trained_passes_and_stays_unfitted(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    _require(recipe)
    assert not any(hasattr(candidate.pipeline[-1], "coef_") for candidate in recipe.candidates)


@pytest.mark.parametrize(
    ("pipeline", "what", "remedy"),
    [
        (_over_numbers(_Sure()), "be compiled to ONNX: MissingShapeCalculator", "skl2onnx converts"),
        (_over_numbers(FunctionTransformer(np.sign), LogisticRegression()), "be compiled to ONNX", "skl2onnx converts"),
        (_over_numbers(SVC()), "predict the rows that it was fitted on: AttributeError", "CalibratedClassifierCV"),
        (_over_numbers(LinearRegression()), "has no attribute 'predict_proba'", "Use a classifier that has it"),
        (_over_numbers(_Uncertain()), "89 of 89 probabilities are NaN or infinite", "use another estimator"),
        (_over_numbers(LogisticRegression(C=-1.0)), "be fitted: InvalidParameterError: The 'C'", "Correct"),
        (_over_numbers(KNeighborsClassifier(n_neighbors=200)), "Expected n_neighbors", "Lower n_neighbors"),
        (
            _plain("wind_gust", LogisticRegression()),
            "be fitted: ValueError: Input X contains NaN",
            "add a SimpleImputer|Add",
        ),
        (
            make_pipeline(ColumnTransformer([("none", "passthrough", [99])]), LogisticRegression()),
            "be fitted",
            "Correct",
        ),
    ],
)
def test_a_candidate_that_cannot_be_trained_is_named_with_the_remedy(
    make_recipe: MakeRecipe, pipeline: Any, what: str, remedy: str
) -> None:
    candidates = (*make_recipe().candidates, Candidate("wrong", pipeline, {}))
    with pytest.raises(ContractError, match=rf"^nothing was searched: candidate 'wrong' cannot .*{what}") as caught:
        _require(make_recipe(candidates=candidates))
    assert re.search(remedy, str(caught.value))


def test_all_that_is_wrong_is_listed_at_once(make_recipe: MakeRecipe) -> None:
    candidates = (
        Candidate("silent", _over_numbers(SVC()), {}),
        Candidate("good", make_pipeline_over("distance"), {}),
        Candidate("negative", _over_numbers(LogisticRegression()), {"logisticregression__C": (1.0, -1.0)}),
    )
    recipe = make_recipe(
        candidates=candidates, baseline=_over_numbers(SVC()), slices=(by_column("origin"), by_column("nowhere"))
    )
    with pytest.raises(ContractError) as caught:
        _require(recipe)
    lines = str(caught.value).splitlines()
    assert lines[0] == "nothing was searched, for 4 reasons:"
    assert [line.split(" cannot ")[0].partition(":")[0] for line in lines[1:]] == [
        "  - candidate 'silent'",
        "  - candidate 'negative' with {'logisticregression__C'",
        "  - the baseline",
        "  - slice 'nowhere'",
    ]


def test_each_kind_of_a_candidate_is_compiled(make_recipe: MakeRecipe) -> None:
    """A parameter that is a name or a truth value may choose what a graph answers otherwise."""
    steps = _over_numbers(LGBMClassifier(n_estimators=3, zero_as_missing=False, verbose=-1))
    space = {"lgbmclassifier__zero_as_missing": (False, True)}
    with pytest.raises(ContractError, match=r"True\} cannot be compiled to ONNX: .*zero_as_missing=True"):
        _require(make_recipe(candidates=(Candidate("light", steps, space),)))


@pytest.mark.parametrize("until", [100, 280])
def test_a_feature_without_a_value_is_named_with_the_rows(make_recipe: MakeRecipe, until: int) -> None:
    """In the first fold, or before the split."""
    rows = _rows(wind_gust=(slice(0, until), np.nan))
    pipeline = _plain("wind_gust", HistGradientBoostingClassifier())
    with pytest.raises(ContractError, match=r"given 89 rows, 32 .* none of them with a value of wind_gust. Remove"):
        _require(make_recipe(candidates=(Candidate("boosting", pipeline, {}),)), rows)


@pytest.mark.parametrize("until", [100, 280])
def test_an_imputer_may_drop_a_feature_that_no_row_has(make_recipe: MakeRecipe, until: int) -> None:
    candidates = (Candidate("linear", _over_numbers(LogisticRegression()), {}),)
    _require(make_recipe(candidates=candidates), _rows(wind_gust=(slice(0, until), np.nan)))


@pytest.mark.parametrize("since", [150, 200, 280])
def test_a_category_that_the_encoder_will_not_know_is_found(make_recipe: MakeRecipe, since: int) -> None:
    """In the first fold that is validated, in a later one, and among the rows held out."""
    rows = _rows(destination=(slice(since, _ALL), "NEW"))
    with pytest.raises(ContractError, match=r"Found unknown categories \['NEW'\].*handle_unknown=\"ignore\""):
        _require(make_recipe(candidates=(Candidate("strict", _encoded(OneHotEncoder()), {}),)), rows)
    ignoring = _encoded(OneHotEncoder(handle_unknown="ignore"))
    _require(make_recipe(candidates=(Candidate("lenient", ignoring, {}),)), rows)


def test_a_value_that_is_missing_later_only_is_found(make_recipe: MakeRecipe) -> None:
    rows = _rows(wind_speed=(slice(0, _TRAINED), 1.0))
    late = replace(rows, frame=rows.frame.copy())
    late.frame.loc[_TRAINED:, "wind_speed"] = np.nan
    with pytest.raises(ContractError, match=r"rows that are unlike those it was fitted on: .*contains NaN"):
        _require(make_recipe(candidates=(Candidate("a", _plain("wind_speed", LogisticRegression()), {}),)), late)


def test_want_of_rows_in_a_small_fit_refuses_nothing(make_recipe: MakeRecipe) -> None:
    """The fit of all rows has labels enough for as many folds of an encoder."""
    rows = _rows(2_000)
    pipeline = _encoded(TargetEncoder(cv=StratifiedKFold(150)))
    _require(make_recipe(candidates=(Candidate("target", pipeline, {}),)), rows, trained=1_900)


def test_rare_values_are_in_the_small_fit(make_recipe: MakeRecipe) -> None:
    """Ten rows of thousands have one: without them the column would look empty."""
    rows = _rows(4_000, wind_gust=(slice(None), np.nan))
    rows.frame.iloc[400:410, rows.frame.columns.get_loc("wind_gust")] = np.arange(10)
    pipeline = _plain("wind_gust", HistGradientBoostingClassifier(max_iter=5))
    _require(make_recipe(candidates=(Candidate("boosting", pipeline, {}),)), rows, trained=3_900)


def test_constant_features_are_no_error(make_recipe: MakeRecipe) -> None:
    rows = _rows(distance=(slice(None), 100.0), wind_speed=(slice(None), 3.0), temperature=(slice(None), 50.0))
    pipeline = make_pipeline(
        ColumnTransformer(
            [
                ("numeric", "passthrough", _NUMERIC),
                ("text", TargetEncoder(cv=StratifiedKFold(3)), _POSITION("origin")),
            ]
        ),
        HistGradientBoostingClassifier(max_iter=5),
    )
    _require(make_recipe(candidates=(Candidate("boosting", pipeline, {}),)), rows)


def test_few_rows_are_refused_with_the_rarer_label(make_recipe: MakeRecipe) -> None:
    """An encoder that splits its rows in five needs five of each label."""
    encoder = TargetEncoder(cv=StratifiedKFold(5))
    with pytest.raises(
        ContractError, match=r"n_splits=5 .* given 5 rows, 2 of them with the rarest label. Lower the `cv`"
    ):
        _require(make_recipe(candidates=(Candidate("target", _encoded(encoder), {}),)), _rows(20), trained=15)


def test_calibration_compiles_with_graphs_of_old_operators(make_recipe: MakeRecipe) -> None:
    transformer = ColumnTransformer([("text", OrdinalEncoder(), _POSITION("origin"))])
    pipeline = make_pipeline(transformer, RandomForestClassifier(n_estimators=3))
    for calibrate in (False, True):
        _require(make_recipe(candidates=(Candidate("forest", pipeline, {}),), calibrate=calibrate))


def _labelled(*ones: int, count: int = _ALL) -> Rows:
    rows = _rows(count)
    labels = np.zeros(count, dtype=np.int64)
    labels[list(ones)] = 1
    return replace(rows, labels=labels)


def test_a_fold_without_one_of_the_labels_is_refused(make_recipe: MakeRecipe) -> None:
    with pytest.raises(DataError, match="the fitted rows of fold 1 of 2: all 89 rows have the label false; both must"):
        _require(make_recipe(), _labelled(150, 200, 300))
    with pytest.raises(DataError) as caught:
        _require(make_recipe(folds=4, scoring="neg_brier_score"), _labelled(200, 300))
    lines = str(caught.value).splitlines()
    assert lines[0] == "nothing was searched, for 3 reasons:"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        f"  - the fitted rows of fold {number} of 4" for number in (1, 2, 3)
    ]
    assert all(line.endswith("use more rows or fewer folds, or hold out fewer rows") for line in lines[1:])


@pytest.mark.parametrize("scoring", ["average_precision", "roc_auc", "f1"])
def test_a_fold_in_which_the_score_is_not_defined_is_refused(make_recipe: MakeRecipe, scoring: str) -> None:
    rows = _labelled(10, 20, 200, 300)
    with pytest.raises(DataError, match=rf"fold 1 of 2 validates on 88 rows, on whose labels {scoring} is not defined"):
        _require(make_recipe(scoring=scoring), rows)
    _require(make_recipe(scoring="neg_brier_score"), rows)


def test_more_folds_than_rows_are_refused(make_recipe: MakeRecipe) -> None:
    with pytest.raises(DataError, match=r"the 15 training rows are too few for 50 folds, .* at least 51"):
        _require(make_recipe(folds=50), _labelled(3, 14, count=20), trained=15)


def test_a_slice_that_is_no_text_for_each_row_is_refused(make_recipe: MakeRecipe) -> None:
    slices = (
        Slice("short", lambda columns: np.array(["a"], dtype=object)),
        Slice("number", lambda columns: columns["distance"]),
    )
    with pytest.raises(ContractError, match=r"slice 'short': .* \(1,\)[\s\S]*slice 'number': .* float64") as caught:
        _require(make_recipe(slices=slices, candidates=(Candidate("dummy", DummyClassifier(), {}),)))
    assert "it must return 135 texts" in str(caught.value)
