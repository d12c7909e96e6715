"""The nodes that finish an answer agree with their twins in numpy, `Task.finish`."""

from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from support.tasks import SPECIES, make_binary, make_multiclass, make_regression
from support.things import make_model, make_things

from athanor.contract.columns import Columns, Kind
from athanor.contract.contract import Contract
from athanor.contract.inputs import GraphInputs
from athanor.errors import ContractError
from athanor.release.answers import find_invalid
from athanor.release.graph import ANSWERS, CATEGORY, Graph
from athanor.release.manifest import Calibration, Intervals, Sets, Temperature
from athanor.tasks.tasks import task_of
from athanor.training.compile.answers import append_answers, read_classes
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Rows

_ROWS: Final = 200


def _finish(
    contract: Contract, outputs: NDArray[np.float64], classes: tuple[int, ...] | None, *found: Any
) -> dict[str, NDArray[Any]]:
    """Runs the finishing nodes alone, on what an estimator gave."""
    raw = helper.make_tensor_value_info("given", TensorProto.DOUBLE, [None, outputs.shape[1]])
    graph = helper.make_graph([helper.make_node("Identity", ["given"], ["raw"])], "finish", [raw], [])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    names = append_answers(model, "raw", contract, classes, *found)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: dict[str, NDArray[Any]] = {}
    for output, values in zip(names, session.run([*names], {"given": outputs}), strict=True):
        answers |= zip(names[output], values.reshape(_ROWS, -1).T, strict=True)
    return answers


def _require_equal(ours: Columns, theirs: Columns) -> None:
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-12)
        else:
            np.testing.assert_array_equal(ours[name], values)


def _draw(count: int) -> NDArray[np.float64]:
    """Probabilities of classes, among them 0 and 1, and two that are equal."""
    drawn = np.random.default_rng(0).dirichlet(np.full(count, 0.3), _ROWS)
    drawn[0], drawn[1] = np.eye(count)[0], np.eye(count)[-1]
    drawn[2] = 1 / count
    return drawn


@pytest.mark.parametrize("calibration", [None, Calibration(slope=1.5, intercept=-0.5)])
@pytest.mark.parametrize("doubt", [None, Sets(coverage=0.9, thresholds={"false": 0.2, "true": 0.4})])
def test_a_probability(calibration: Calibration | None, doubt: Sets | None) -> None:
    contract, outputs = make_binary(with_sets=True), _draw(2)
    expected = task_of(contract).finish(outputs[:, 1:], calibration, doubt)
    _require_equal(_finish(contract, outputs, (0, 1), calibration, doubt), expected)


@pytest.mark.parametrize("calibration", [None, Temperature(temperature=1.7)])
@pytest.mark.parametrize(
    "doubt", [None, Sets(coverage=0.9, thresholds=dict(zip(SPECIES, (0.1, 0.3, 0.5), strict=True)))]
)
def test_a_category(calibration: Temperature | None, doubt: Sets | None) -> None:
    contract, outputs = make_multiclass(with_sets=True), _draw(3)
    expected = task_of(contract).finish(outputs, calibration, doubt)
    _require_equal(_finish(contract, outputs, (0, 1, 2), calibration, doubt), expected)


@pytest.mark.parametrize("classes", [(0, 2), (2, 1), (1,)])
def test_a_category_that_the_fit_has_not_seen_is_impossible(classes: tuple[int, ...]) -> None:
    contract, outputs = make_multiclass(), _draw(len(classes)) if len(classes) > 1 else np.ones((_ROWS, 1))
    aligned = np.zeros((_ROWS, 3))
    aligned[:, classes] = outputs
    _require_equal(_finish(contract, outputs, classes, None, None), task_of(contract).finish(aligned))


_INTERVALS: Final = Intervals(coverage=0.9, edges=(3.0, 5.5), lower=(-0.5, -1.0, -2.5), upper=(0.4, 1.5, 9.0))


@pytest.mark.parametrize("doubt", [None, _INTERVALS, Intervals(coverage=0.9, edges=(), lower=(-1.0,), upper=(2.0,))])
def test_a_number(doubt: Intervals | None) -> None:
    contract = make_regression(with_interval=True, minimum=0, maximum=10)
    outputs = np.random.default_rng(0).uniform(-1, 11, (_ROWS, 1))
    outputs[:2, 0] = (3.0, 5.5)  # An edge belongs to the bin above.
    answers = _finish(contract, outputs, None, None, doubt)
    _require_equal(answers, task_of(contract).finish(outputs, None, doubt))
    if doubt:
        assert ((answers["mass_from"] <= answers["mass"]) & (answers["mass"] <= answers["mass_to"])).all()


@pytest.mark.parametrize(
    ("contract", "outputs", "classes"),
    [
        (make_binary(), np.full((_ROWS, 2), np.nan), (0, 1)),
        (make_multiclass(), np.full((_ROWS, 3), np.nan), (0, 1, 2)),
        (make_regression(minimum=0, maximum=10), np.full((_ROWS, 1), np.nan), None),
    ],
    ids=["binary", "multiclass", "regression"],
)
def test_no_number_is_no_answer(contract: Contract, outputs: Any, classes: tuple[int, ...] | None) -> None:
    """No bound and no category may hide it."""
    answers = _finish(contract, outputs, classes, None, None)
    invalid = find_invalid(contract.answer, answers)
    assert {breach.column.name for breach in invalid} == {column.name for column in contract.answer}
    assert all(len(breach.rows) == _ROWS for breach in invalid)


class _Gives:
    """An estimator of some kind."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def test_an_estimator_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ContractError, match=r"won is a class, .* no predict_proba; use a classifier that has it"):
        read_classes(make_binary(), _Gives())
    with pytest.raises(ContractError, match=r"label is a number, .* is a classifier; use a regressor"):
        read_classes(make_regression(), _Gives(classes_=[0, 1], predict_proba=None))


def test_the_outputs_of_a_graph_are_named_in_the_order_of_the_contract() -> None:
    model = make_model("multiclass")
    task = task_of(model.contract)
    rows = Rows.make(task, model, make_things("multiclass"))
    graph = onnx.load_from_string(compile_model(model, _fit_numbers(rows)))
    names = {entry.key: entry.value for entry in graph.metadata_props}
    texts = [column.name for column in model.contract.answer if column.kind is Kind.TEXT]
    numbers = [column.name for column in model.contract.answer if column.kind is not Kind.TEXT]
    assert (names[CATEGORY], names[ANSWERS]) == tuple(str(each).replace("'", '"') for each in (texts, numbers))
    answers = Graph(graph.SerializeToString(), GraphInputs.of(model.contract.columns)).answer(rows.columns)
    assert [*answers] == [*numbers, *texts]
    assert not find_invalid(model.contract.answer, answers)


def _fit_numbers(rows: Rows) -> Any:
    pipeline = make_pipeline(ColumnTransformer([("n", "passthrough", [0, 1])]), DecisionTreeClassifier(max_depth=3))
    return pipeline.fit(rows.frame, rows.labels)
