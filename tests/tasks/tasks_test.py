"""Which task a contract asks, and contracts whose answer does not fit their label."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from support.protos import TIMESTAMP, Toy, make_field
from support.tasks import SPECIES, bend_multiclass, make_binary, make_multiclass, make_regression

from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError
from athanor.tasks.tasks import task_of

_RANKS = ["roc_auc", "average_precision", "brier_score", "log_loss"]
_CLASSES = ["log_loss", "brier_score", "accuracy", "balanced_accuracy", "macro_f1", "roc_auc"]
_NUMBERS = ["mae", "rmse", "median_absolute_error", "r2"]
_SETS, _INTERVALS = ["coverage", "set_size"], ["mean_pinball", "coverage", "interval_width"]


@pytest.mark.parametrize(
    ("contract", "name", "metrics", "scoring"),
    [
        (make_binary(), "binary", _RANKS, "average_precision"),
        (make_binary(with_sets=True), "binary", _RANKS + _SETS, "average_precision"),
        (make_multiclass(), "multiclass", _CLASSES, "neg_log_loss"),
        (make_multiclass(with_sets=True), "multiclass", _CLASSES + _SETS, "neg_log_loss"),
        (make_regression(), "regression", _NUMBERS, "neg_root_mean_squared_error"),
        (make_regression(label="float"), "regression", _NUMBERS, "neg_root_mean_squared_error"),
        (make_regression(label="int32"), "regression", _NUMBERS, "neg_root_mean_squared_error"),
        (make_regression(with_interval=True), "regression", _NUMBERS + _INTERVALS, "neg_root_mean_squared_error"),
        (
            make_regression(label="uint32"),
            "regression",
            [*_NUMBERS, "mean_poisson_deviance"],
            "neg_mean_poisson_deviance",
        ),
        (
            make_regression(label="int32", minimum=0),
            "regression",
            [*_NUMBERS, "mean_poisson_deviance"],
            "neg_mean_poisson_deviance",
        ),
        # Not whole: an amount, not a count.
        (make_regression(minimum=0), "regression", _NUMBERS, "neg_root_mean_squared_error"),
    ],
)
def test_the_task_follows_from_the_label(contract: Contract, name: str, metrics: list[str], scoring: str) -> None:
    task = task_of(contract, coverage=0.9)
    assert (task.name, list(task.metrics), task.scoring) == (name, metrics, scoring)


def test_quantiles_are_measured_only_of_a_stated_coverage() -> None:
    assert "mean_pinball" not in task_of(make_regression(with_interval=True)).metrics


@pytest.mark.parametrize("contract", [make_binary(), make_multiclass(with_sets=True), make_regression()])
def test_a_task_can_be_sent_to_another_process(contract: Contract) -> None:
    task = task_of(contract, coverage=0.8)
    sent = pickle.loads(pickle.dumps(task))  # noqa: S301 - its own
    assert (type(sent), sent.contract.fingerprint, sent.coverage) == (type(task), contract.fingerprint, 0.8)


def _answer(*fields: Any) -> Callable[[Toy], None]:
    def bend(toy: Toy) -> None:
        del toy.prediction.field[:]
        toy.prediction.field.extend(fields)

    return bend


def _prediction(name: str, kind: str, **options: Any) -> Any:
    return make_field(name, 1, kind, description="It", roles=[options_pb2.ROLE_PREDICTION], **options)


def _about(role: Any, kind: str, number: int, category: str, **options: Any) -> Any:
    name = f"about_{number}"
    return make_field(name, number, kind, description="It", roles=[role], category=category, **options)


@pytest.mark.parametrize(
    ("bend", "problem"),
    [
        (_answer(_prediction("p", "double")), "p is a probability; declare it as double, with minimum: 0 maximum: 1"),
        (_answer(_prediction("p", "float", minimum=0, maximum=1)), "p is a probability; declare it as double"),
        (_answer(_prediction("p", "double", minimum=0, maximum=100)), "p is a probability; declare it as double"),
        (
            _answer(
                _prediction("p", "double", minimum=0, maximum=1),
                _about(options_pb2.ROLE_PROBABILITY, "double", 2, "true"),
            ),
            "about_2 has ROLE_PROBABILITY, which a binary label has no use for; remove it",
        ),
        (
            _answer(
                _prediction("p", "double", minimum=0, maximum=1), _about(options_pb2.ROLE_IN_SET, "bool", 2, "true")
            ),
            "no column has ROLE_IN_SET of the category false; add one for each",
        ),
        (
            _answer(
                _prediction("p", "double", minimum=0, maximum=1),
                _about(options_pb2.ROLE_IN_SET, "bool", 2, "true"),
                _about(options_pb2.ROLE_IN_SET, "bool", 3, "yes"),
            ),
            "ROLE_IN_SET names yes; the label has false, true",
        ),
    ],
)
def test_an_answer_that_does_not_fit_a_bool_is_refused(bend: Callable[[Toy], None], problem: str) -> None:
    toy = Toy()
    bend(toy)
    with pytest.raises(ContractError, match=f"toy.v1.Prediction: {problem}"):
        task_of(toy.read())


def _without_categories(toy: Toy) -> None:
    del toy.column("label").categories[:]


def _with_other_categories(toy: Toy) -> None:
    toy.column("species").categories.append("Emperor")


def _without_a_probability(toy: Toy) -> None:
    toy.remove("gentoo_probability")


def _with_percent(toy: Toy) -> None:
    toy.column("gentoo_probability").maximum = 100


@pytest.mark.parametrize(
    ("bend", "problem"),
    [
        (_without_categories, "label is a text label; give it categories, two or more"),
        (
            _with_other_categories,
            "species is a category of label; declare it as string, with the categories Adelie, Chinstrap, Gentoo",
        ),
        (_without_a_probability, "no column has ROLE_PROBABILITY of the category Gentoo; add one for each"),
        (_with_percent, "gentoo_probability is a probability; declare it as double, with minimum: 0 maximum: 1"),
    ],
)
def test_an_answer_that_does_not_fit_categories_is_refused(bend: Callable[[Toy], None], problem: str) -> None:
    with pytest.raises(ContractError, match=f"toy.v1.Prediction: {problem}"):
        task_of(bend_multiclass(bend))


def test_all_problems_are_listed() -> None:
    def bend(toy: Toy) -> None:
        for change in (_with_other_categories, _without_a_probability):
            change(toy)

    with pytest.raises(ContractError) as caught:
        task_of(bend_multiclass(bend))
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        ("float", {}, "mass is a number of the answer; declare it as double"),
        ("int32", {}, "mass is a number of the answer; declare it as double"),
        ("string", {"categories": SPECIES}, "mass is a number of the answer; declare it as double"),
    ],
)
def test_an_answer_that_does_not_fit_a_number_is_refused(kind: str, options: dict[str, Any], problem: str) -> None:
    toy = Toy()
    toy.field("won").type = make_field("won", 1, "double").type
    _answer(_prediction("mass", kind, **options))(toy)
    with pytest.raises(ContractError, match=f"toy.v1.Prediction: {problem}"):
        task_of(toy.read())


def test_a_time_is_no_label() -> None:
    toy = Toy()
    del toy.outcome.field[:]
    toy.outcome.field.append(make_field("ended", 1, TIMESTAMP, description="When", roles=[options_pb2.ROLE_LABEL]))
    with pytest.raises(
        ContractError, match=r"toy\.v1\.Outcome\.ended is a timestamp; a label is a bool, a string with"
    ):
        task_of(toy.read())


@pytest.mark.parametrize(
    ("contract", "category", "column"),
    [
        (make_binary(), None, "probability"),
        (make_regression(), None, "mass"),
        (make_multiclass(), "Gentoo", "gentoo_probability"),
    ],
)
def test_a_check_of_behaviour_is_about_one_number(contract: Contract, category: str | None, column: str) -> None:
    assert task_of(contract).column_of(category).name == column


@pytest.mark.parametrize(
    ("contract", "category", "problem"),
    [
        (make_multiclass(), None, "no category is named; use of= with one of Adelie, Chinstrap, Gentoo"),
        (make_multiclass(), "Emperor", "'Emperor' is no category of the label; use of= with one of Adelie"),
        (make_regression(), "Adelie", "of='Adelie' does not apply to the answer mass; remove it"),
    ],
)
def test_a_number_that_is_not_there_is_refused(contract: Contract, category: str | None, problem: str) -> None:
    with pytest.raises(ContractError, match=problem):
        task_of(contract).column_of(category)
