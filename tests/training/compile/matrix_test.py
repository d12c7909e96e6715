"""Which estimators compile to equal answers, on which rows, for which task; and which are refused, with what remedy."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LogisticRegression,
    QuantileRegressor,
    Ridge,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from support.things import NUMBERS, TEXTS, make_model, make_things
from threadpoolctl import threadpool_limits

from athanor.contract.columns import Columns
from athanor.contract.inputs import GraphInputs
from athanor.errors import ContractError
from athanor.features.features import Model
from athanor.release.answers import measure_difference
from athanor.release.graph import Graph
from athanor.tasks.tasks import task_of
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Fitted, Rows

_NUMERIC: Final = [0, 1, 2, 3]
_CATEGORICAL: Final = [4, 5]
_EQUAL: Final = 5e-7
"""Of probabilities, and of numbers in units of their spread: the operator of trees gives its sum in float32."""

_CLASSES: Final = ("binary", "multiclass")
_NUMBERS: Final = ("regression", "count")
_MODELS: Final[dict[str, Model]] = {kind: make_model(kind) for kind in (*_CLASSES, *_NUMBERS)}

_AS_IS: Final = "passthrough"
_FILLED: Final = SimpleImputer()
_SCALED: Final = make_pipeline(SimpleImputer(), StandardScaler())
_ONE_HOT: Final = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
_CODES: Final = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
_TARGET: Final = TargetEncoder(random_state=0)

_BOOST: Final[dict[str, Any]] = {"max_iter": 8, "min_samples_leaf": 5, "random_state": 0}
_LIGHT: Final[dict[str, Any]] = {"n_estimators": 8, "min_child_samples": 5, "n_jobs": 1, "verbosity": -1}
_LIGHT_CODES: Final[dict[str, Any]] = {**_LIGHT, "categorical_features": _CATEGORICAL, "min_data_per_group": 5}
_CLASS_BOOST: Final = HistGradientBoostingClassifier(**_BOOST)
_CLASS_FOREST: Final = RandomForestClassifier(5, random_state=0)
_CLASS_TREE: Final = DecisionTreeClassifier(max_depth=4, random_state=0)


def _boost(loss: str, **options: Any) -> Any:
    return HistGradientBoostingRegressor(loss=loss, **_BOOST, **options)


def _light(objective: str, **options: Any) -> Any:
    return LGBMRegressor(objective=objective, **_LIGHT, **options)


# Name, kinds of label, what becomes of numbers and of texts, and the estimator.
_TAKING_GAPS: Final[Sequence[tuple[str, tuple[str, ...], Any, Any, Any]]] = (
    ("histogram boosting", _CLASSES, _AS_IS, _ONE_HOT, _CLASS_BOOST),
    ("histogram boosting, standard", _CLASSES, _SCALED, _ONE_HOT, _CLASS_BOOST),
    ("histogram boosting, robust", _CLASSES, make_pipeline(_FILLED, RobustScaler()), _ONE_HOT, _CLASS_BOOST),
    ("histogram boosting, max abs", _CLASSES, make_pipeline(_FILLED, MaxAbsScaler()), _ONE_HOT, _CLASS_BOOST),
    ("histogram boosting, min max", _CLASSES, make_pipeline(_FILLED, MinMaxScaler()), _ONE_HOT, _CLASS_BOOST),
    ("histogram boosting, target encoder", _CLASSES, _AS_IS, _TARGET, _CLASS_BOOST),
    (
        "histogram boosting, own categories",
        _CLASSES,
        _AS_IS,
        _CODES,
        HistGradientBoostingClassifier(**_BOOST, categorical_features=_CATEGORICAL),
    ),
    ("forest", _CLASSES, _AS_IS, _ONE_HOT, _CLASS_FOREST),
    ("forest, indicators", _CLASSES, SimpleImputer(add_indicator=True), _ONE_HOT, _CLASS_FOREST),
    ("forest, target encoder, all scaled", _CLASSES, _FILLED, _TARGET, make_pipeline(StandardScaler(), _CLASS_FOREST)),
    ("extra trees", _CLASSES, _AS_IS, _CODES, ExtraTreesClassifier(5, random_state=0)),
    ("tree", _CLASSES, _AS_IS, _CODES, _CLASS_TREE),
    ("bagging", _CLASSES, _AS_IS, _CODES, BaggingClassifier(_CLASS_TREE, 3, random_state=0)),
    ("LightGBM", _CLASSES, _AS_IS, _ONE_HOT, LGBMClassifier(**_LIGHT)),
    ("LightGBM, own categories", _CLASSES, _AS_IS, _CODES, LGBMClassifier(**_LIGHT_CODES)),
    ("histogram boosting", _NUMBERS, _AS_IS, _ONE_HOT, _boost("squared_error")),
    ("histogram boosting, poisson", _NUMBERS, _AS_IS, _ONE_HOT, _boost("poisson")),
    ("histogram boosting, gamma", ("regression",), _AS_IS, _ONE_HOT, _boost("gamma")),
    ("histogram boosting, quantile", _NUMBERS, _AS_IS, _ONE_HOT, _boost("quantile", quantile=0.9)),
    ("forest", _NUMBERS, _AS_IS, _ONE_HOT, RandomForestRegressor(5, random_state=0)),
    ("extra trees", _NUMBERS, _AS_IS, _CODES, ExtraTreesRegressor(5, random_state=0)),
    ("tree", _NUMBERS, _AS_IS, _CODES, DecisionTreeRegressor(random_state=0)),
    ("LightGBM", _NUMBERS, _AS_IS, _ONE_HOT, _light("regression")),
    ("LightGBM, own categories", _NUMBERS, _AS_IS, _CODES, LGBMRegressor(**_LIGHT_CODES)),
    ("LightGBM, number as category", _NUMBERS, _AS_IS, _CODES, _light("regression", categorical_features=[0, 3])),
    ("LightGBM, poisson", _NUMBERS, _AS_IS, _ONE_HOT, _light("poisson")),
    ("LightGBM, quantile", _NUMBERS, _AS_IS, _ONE_HOT, _light("quantile", alpha=0.9)),
    ("LightGBM, tweedie", _NUMBERS, _AS_IS, _ONE_HOT, _light("tweedie")),
    ("LightGBM, gamma", ("regression",), _AS_IS, _ONE_HOT, _light("gamma")),
    ("logistic regression", _CLASSES, _FILLED, _ONE_HOT, LogisticRegression()),
    (
        "logistic regression, rare categories",
        _CLASSES,
        _FILLED,
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=30),
        LogisticRegression(),
    ),
    (
        "logistic regression, rare codes",
        _CLASSES,
        _FILLED,
        clone(_CODES).set_params(min_frequency=30),
        LogisticRegression(),
    ),
    ("gradient boosting", _CLASSES, _FILLED, _ONE_HOT, GradientBoostingClassifier(n_estimators=5)),
    (
        "gradient boosting, exponential",
        ("binary",),
        _FILLED,
        _ONE_HOT,
        GradientBoostingClassifier(loss="exponential", n_estimators=5),
    ),
    ("discriminant", _CLASSES, _FILLED, _ONE_HOT, LinearDiscriminantAnalysis()),
    ("perceptron", _CLASSES, _FILLED, _ONE_HOT, MLPClassifier((8,), max_iter=20)),
    ("stacking", _CLASSES, _FILLED, _ONE_HOT, StackingClassifier([("tree", _CLASS_TREE)])),
    (
        "voting",
        _CLASSES,
        _FILLED,
        _ONE_HOT,
        VotingClassifier([("tree", _CLASS_TREE), ("boost", _CLASS_BOOST)], voting="soft", flatten_transform=False),
    ),
    ("ridge", _NUMBERS, _FILLED, _ONE_HOT, Ridge()),
    ("quantile", _NUMBERS, _FILLED, _ONE_HOT, QuantileRegressor(alpha=0.1)),
    ("gradient boosting", _NUMBERS, _FILLED, _ONE_HOT, GradientBoostingRegressor(n_estimators=5)),
)


def _list_cases() -> Iterator[Any]:
    for name, kinds, numeric, categorical, estimator in _TAKING_GAPS:
        for kind in kinds:
            yield pytest.param(kind, _over(numeric, categorical, estimator), id=f"{name}, {kind}")


def _over(numeric: Any, categorical: Any, estimator: Any) -> Any:
    columns = ColumnTransformer([("n", numeric, _NUMERIC), ("c", categorical, _CATEGORICAL)])
    return make_pipeline(clone(columns), clone(estimator))


def _fit(kind: str, pipeline: Any, missing: float) -> Fitted:
    task = task_of(_MODELS[kind].contract)
    rows = Rows.make(task, _MODELS[kind], make_things(kind, missing=missing))
    with threadpool_limits(1), warnings.catch_warnings():
        # So few rows and rounds do not converge.
        warnings.simplefilter("ignore")
        return Fitted(pipeline.fit(rows.frame, rows.labels), task)


def _measure(kind: str, fitted: Fitted, columns: Columns) -> NDArray[np.float64]:
    """The difference of graph and pipeline in each row, in units of the largest number if they are numbers."""
    model = _MODELS[kind]
    ours = _open(kind, fitted).answer(columns)
    with threadpool_limits(1):
        theirs = fitted.answer(Rows.make(fitted.task, model, columns).frame)
    difference = measure_difference(model.contract.answer, ours, theirs)
    scale = fitted.task.scale(fitted.task.encode(columns[model.contract.label.name]))
    largest = np.max([np.abs(values) for values in theirs.values() if values.dtype.kind == "f"], axis=0)
    return np.asarray(difference / np.maximum(scale, largest))


def _open(kind: str, fitted: Fitted) -> Graph:
    model = _MODELS[kind]
    return Graph(compile_model(model, fitted.pipeline), GraphInputs.of(model.contract.columns))


def _make_odd(kind: str) -> dict[str, Columns]:
    """Rows that have what no training row has, by what that is."""
    usual = make_things(kind, 60, seed=1)
    nothing = np.full(60, np.nan)
    odd: dict[str, Columns] = {"usual": usual}
    odd |= {f"no {name}": {**usual, name: nothing} for name in NUMBERS}
    odd["no numbers"] = {**usual, **dict.fromkeys(NUMBERS, nothing)}
    odd |= {
        f"{name} of {text!r}": {**usual, name: np.full(60, text, dtype=object)}
        for name in TEXTS
        for text in ("", "violet", "飛\0")
    }
    for name in ("size", "id", "near"):
        odd |= {f"{name} of {value:g}": {**usual, name: np.full(60, value)} for value in (0.0, -1e12, 1e12)}
        for side in (-np.inf, np.inf):
            adjacent = np.nextafter(usual[name].astype(np.float32), np.float32(side))
            odd[f"{name} next to {side:g}"] = {**usual, name: adjacent.astype(np.float64)}
    return odd


_ODD: Final = {kind: _make_odd(kind) for kind in _MODELS}


@pytest.mark.parametrize("missing", [0.0, 0.1], ids=["fitted on whole rows", "fitted on rows with gaps"])
@pytest.mark.parametrize(("kind", "pipeline"), _list_cases())
def test_the_graph_answers_as_the_pipeline_does(kind: str, pipeline: Any, missing: float) -> None:
    fitted = _fit(kind, pipeline, missing)
    odd = _ODD[kind]
    together = {name: np.concatenate([each[name] for each in odd.values()]) for name in odd["usual"]}
    largest = _measure(kind, fitted, together).reshape(len(odd), -1).max(axis=1)
    assert dict(zip(odd, largest.tolist(), strict=True)) == pytest.approx(dict.fromkeys(odd, 0.0), abs=_EQUAL)


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(GradientBoostingClassifier(n_estimators=5), id="gradient boosting"),
        pytest.param(LogisticRegression(), id="logistic regression"),
        pytest.param(MLPClassifier((8,), max_iter=20), id="perceptron"),
    ],
)
def test_to_a_row_that_the_pipeline_refuses_the_graph_gives_no_number(estimator: Any) -> None:
    fitted = _fit("binary", _over(_AS_IS, _ONE_HOT, estimator), 0.0)
    columns = _ODD["binary"]["no size"]
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.answer(Rows.make(fitted.task, _MODELS["binary"], columns).frame)
    assert np.isnan(_open("binary", fitted).answer(columns)["probability"]).all()


def test_to_a_text_that_the_encoder_refuses_the_graph_gives_no_number() -> None:
    fitted = _fit("binary", _over(_FILLED, OneHotEncoder(), LogisticRegression()), 0.0)
    assert _measure("binary", fitted, _ODD["binary"]["usual"]).max() < _EQUAL
    columns = _ODD["binary"]["color of 'violet'"]
    with pytest.raises(ValueError, match="unknown categories"):
        fitted.answer(Rows.make(fitted.task, _MODELS["binary"], columns).frame)
    assert np.isnan(_open("binary", fitted).answer(columns)["probability"]).all()


@pytest.mark.parametrize(
    ("kind", "pipeline", "why"),
    [
        ("binary", _over(_SCALED, _ONE_HOT, SVC(probability=True)), "SVC cannot be compiled: .*; use a linear model"),
        ("regression", _over(_SCALED, _ONE_HOT, SVR()), "SVR cannot be compiled: .*; use a linear model"),
        ("binary", _over(_SCALED, _ONE_HOT, KNeighborsClassifier()), "KNeighborsClassifier.*equally near; use trees"),
        ("regression", _over(_SCALED, _ONE_HOT, KNeighborsRegressor()), "KNeighborsRegressor.*equally near"),
        ("binary", _over(_FILLED, _ONE_HOT, AdaBoostClassifier(n_estimators=3)), "AdaBoost.*; use gradient boosting"),
        ("multiclass", _over(_FILLED, _ONE_HOT, OneVsRestClassifier(_CLASS_TREE)), "OneVsRest.*several classes"),
        ("binary", _over(_FILLED, _ONE_HOT, CalibratedClassifierCV(_CLASS_BOOST)), r"use Recipe\(calibrate=True\)"),
        ("binary", _over(_FILLED, _ONE_HOT, StackingClassifier([("a", LGBMClassifier(**_LIGHT))])), "make it the last"),
        ("binary", _over(make_pipeline(_FILLED, Normalizer()), _ONE_HOT, _CLASS_TREE), "Normalizer.*feature function"),
        ("binary", _over(make_pipeline(_FILLED, PowerTransformer()), _ONE_HOT, _CLASS_TREE), "PowerTransformer"),
        ("binary", _over(QuantileTransformer(n_quantiles=9), _ONE_HOT, _CLASS_TREE), "QuantileTransformer"),
        ("binary", _over(TargetEncoder(), _ONE_HOT, _CLASS_TREE), "missing number as a category.*impute it first"),
        (
            "regression",
            _over(_AS_IS, _ONE_HOT, _light("regression", linear_tree=True)),
            "linear_tree=True.*leave it out",
        ),
        ("regression", _over(_AS_IS, _ONE_HOT, _light("regression", reg_sqrt=True)), "regression and sqrt"),
        ("binary", _over(_AS_IS, _ONE_HOT, LGBMClassifier(zero_as_missing=True, **_LIGHT)), "zero_as_missing=True"),
        ("multiclass", _over(_AS_IS, _ONE_HOT, LGBMClassifier(objective="multiclassova", **_LIGHT)), "multiclassova"),
        (
            "binary",
            _over(_FILLED, _ONE_HOT, GradientBoostingClassifier(init=_CLASS_TREE, n_estimators=3)),
            "leave init at its default",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_what_would_answer_otherwise_is_refused_by_name_and_with_a_remedy(kind: str, pipeline: Any, why: str) -> None:
    fitted = _fit(kind, pipeline, 0.1)
    with pytest.raises(ContractError, match=why):
        compile_model(_MODELS[kind], fitted.pipeline)


def test_all_refusals_are_listed_at_once() -> None:
    fitted = _fit("binary", _over(make_pipeline(_FILLED, Normalizer()), _ONE_HOT, SVC(probability=True)), 0.1)
    with pytest.raises(ContractError, match=r"Normalizer.*; SVC cannot be compiled"):
        compile_model(_MODELS["binary"], fitted.pipeline)
