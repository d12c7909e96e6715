"""Estimators with categories of their own, over any features."""

from typing import Any, Final

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from support.things import FEATURES, make_model, make_things
from threadpoolctl import threadpool_limits

from athanor.contract.inputs import GraphInputs
from athanor.errors import ContractError
from athanor.release.graph import Graph
from athanor.tasks.tasks import task_of
from athanor.training.categories import make_categorical_pipeline
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Rows

_ESTIMATORS: Final = (
    LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1, min_data_per_group=5, random_state=0),
    HistGradientBoostingClassifier(max_iter=5, random_state=0),
)


@pytest.mark.parametrize("estimator", _ESTIMATORS, ids=["LightGBM", "histogram"])
def test_it_fits_and_compiles_without_a_warning(estimator: Any) -> None:
    model = make_model("binary")
    task = task_of(model.contract)
    columns = make_things("binary", missing=0.1)
    rows = Rows.make(task, model, columns)
    with threadpool_limits(1):
        pipeline = make_categorical_pipeline(FEATURES, estimator).fit(rows.frame, rows.labels)
        expected = pipeline.predict_proba(rows.frame)[:, 1]
    graph = Graph(compile_model(model, pipeline), GraphInputs.of(model.contract.columns))
    np.testing.assert_allclose(graph.answer(columns)["probability"], expected, rtol=0, atol=5e-7)


def test_an_estimator_without_categories_is_refused() -> None:
    with pytest.raises(ContractError, match="LogisticRegression has no categories of its own; use LGBMClassifier, "):
        make_categorical_pipeline(FEATURES, LogisticRegression())
