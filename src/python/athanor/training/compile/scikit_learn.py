"""scikit-learn's estimators that skl2onnx converts to another answer, or not at all, and those that are refused."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
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
from sklearn.svm import SVC, SVR, NuSVC, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from athanor.training.compile.converter import Conversion, Values
from athanor.training.compile.lookups import convert_lookup, count_columns
from athanor.training.compile.nodes import Nodes
from athanor.training.compile.scikit_learn_trees import read_forest, read_gradient_boosting, read_histogram_boosting
from athanor.training.compile.steps import find_last
from athanor.training.compile.transformers import (
    convert_imputer,
    convert_max_abs_scaler,
    convert_min_max_scaler,
    convert_robust_scaler,
    convert_standard_scaler,
    count_imputed,
    count_same,
)
from athanor.training.compile.trees import Ensemble, Link, add_classifier, add_regressor

_AS_FEATURE: Final = "write it as a feature function, which is compiled as it is"
_REFUSED: Final[Mapping[type, tuple[str, str]]] = {
    **dict.fromkeys(
        (SVC, NuSVC, SVR, NuSVR),
        ("its kernel is compiled in float32, which adds up to another answer", "use a linear model, trees or boosting"),
    ),
    **dict.fromkeys(
        (KNeighborsClassifier, KNeighborsRegressor),
        ("a graph chooses otherwise among rows that are equally near", "use trees or boosting"),
    ),
    AdaBoostClassifier: ("its votes are compiled in float32", "use gradient boosting"),
    OneVsRestClassifier: ("rows to which no class is likely get another answer", "use a classifier of several classes"),
    QuantileTransformer: ("it is compiled to other numbers", _AS_FEATURE),
    PowerTransformer: ("it is compiled in float32, to other numbers", _AS_FEATURE),
    Normalizer: ("it is compiled in float32, to other numbers", _AS_FEATURE),
}
"""Why, and what to use instead."""


def _count_classes(estimator: Any) -> int:
    return len(estimator.classes_)


def _classify(read: Callable[[Any], tuple[Ensemble, Link]]) -> Conversion:
    def convert(nodes: Nodes, estimator: Any, values: Values) -> str:
        return add_classifier(nodes, *read(estimator), values)

    return Conversion(convert, _count_classes)


def _regress(read: Callable[[Any], tuple[Ensemble, Link]]) -> Conversion:
    def convert(nodes: Nodes, estimator: Any, values: Values) -> str:
        return add_regressor(nodes, *read(estimator), values)

    return Conversion(convert, lambda _: 1)


def _convert_discriminant(nodes: Nodes, estimator: LinearDiscriminantAnalysis, values: Values) -> str:
    """Of two classes skl2onnx takes the softmax of one score and 0, where the sigmoid of it is meant."""
    product = nodes.add("MatMul", nodes.to_double(values.name), nodes.constant(estimator.coef_.T))
    score = nodes.add("Add", product, nodes.constant(estimator.intercept_))
    if len(estimator.classes_) > 2:
        return nodes.add("Softmax", score, axis=1)
    positive = nodes.add("Sigmoid", score)
    return nodes.concat([nodes.add("Sub", nodes.constant(1.0), positive), positive])


class _ScikitLearn:
    @property
    def conversions(self) -> Mapping[type, Conversion]:
        return _CONVERSIONS

    def list_refusals(self, estimator: Any, is_last: bool) -> Iterator[str]:
        name = type(estimator).__name__
        if found := next((_REFUSED[kind] for kind in _REFUSED if isinstance(estimator, kind)), None):
            why, remedy = found
            yield f"{name} cannot be compiled: {why}; {remedy}"
        if isinstance(estimator, SimpleImputer) and estimator.indicator_ is not None and estimator.missing_values == "":
            yield "SimpleImputer(add_indicator=True) of texts gives no numbers; encode texts without it"
        if isinstance(estimator, CalibratedClassifierCV):
            inner = type(find_last(estimator.calibrated_classifiers_[0].estimator))
            if inner in _CONVERSIONS and hasattr(inner, "decision_function"):
                yield f"{name} around {inner.__name__} is compiled to other probabilities; use Recipe(calibrate=True)"


_CONVERSIONS: Final[Mapping[type, Conversion]] = {
    **dict.fromkeys(
        (DecisionTreeClassifier, ExtraTreeClassifier, RandomForestClassifier, ExtraTreesClassifier),
        _classify(read_forest),
    ),
    **dict.fromkeys(
        (DecisionTreeRegressor, ExtraTreeRegressor, RandomForestRegressor, ExtraTreesRegressor), _regress(read_forest)
    ),
    GradientBoostingClassifier: _classify(read_gradient_boosting),
    GradientBoostingRegressor: _regress(read_gradient_boosting),
    HistGradientBoostingClassifier: _classify(read_histogram_boosting),
    HistGradientBoostingRegressor: _regress(read_histogram_boosting),
    LinearDiscriminantAnalysis: Conversion(_convert_discriminant, _count_classes),
    SimpleImputer: Conversion(convert_imputer, count_imputed, keeps_type=True),
    StandardScaler: Conversion(convert_standard_scaler, count_same, keeps_type=True),
    RobustScaler: Conversion(convert_robust_scaler, count_same, keeps_type=True),
    MaxAbsScaler: Conversion(convert_max_abs_scaler, count_same, keeps_type=True),
    MinMaxScaler: Conversion(convert_min_max_scaler, count_same, keeps_type=True),
    **dict.fromkeys((OneHotEncoder, OrdinalEncoder, TargetEncoder), Conversion(convert_lookup, count_columns)),
}
SCIKIT_LEARN: Final = _ScikitLearn()
