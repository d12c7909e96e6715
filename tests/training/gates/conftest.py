"""Evidence from real pipelines, fitted on synthetic flights."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from support.evidence import TASK
from support.flights import make_columns
from support.model_graphs import open_graph
from support.pipelines import make_pipeline_over

from athanor.contract.columns import Columns
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Champion, Evidence, Fitted, Rows
from projects.delays.model import MODEL

_ROWS: Final = 6_000

Gather: TypeAlias = Callable[..., Evidence]


@pytest.fixture(scope="session")
def columns() -> Columns:
    """The label follows distance and wind, and nothing else."""
    return make_columns(_ROWS)


@pytest.fixture(scope="session")
def gather(columns: Columns) -> Gather:
    """Fits a pipeline on the first half of some rows and evaluates it on the second."""

    def gather_evidence(
        pipeline: Any = None, fitted_on: Columns = columns, evaluated_on: Columns = columns, **replaced: Any
    ) -> Evidence:
        past, later = (
            Rows.make(TASK, MODEL, columns).take(_half(half)) for half, columns in enumerate((fitted_on, evaluated_on))
        )
        fitted = clone(pipeline or make_pipeline_over("distance", "wind_speed")).fit(past.frame, past.labels)
        graph = compile_model(MODEL, fitted)
        baseline = make_pipeline_over("visibility").fit(past.frame, past.labels)
        parts: dict[str, Any] = {
            "model": MODEL,
            "task": TASK,
            "rows": later,
            "fitted": Fitted(fitted, TASK),
            "graph": graph,
            "answers": open_graph(graph).answer(later.columns),
            "baseline": Fitted(baseline, TASK).answer(later.frame),
        }
        return Evidence(**{**parts, **replaced})

    return gather_evidence


@pytest.fixture(scope="session")
def good(gather: Gather) -> Evidence:
    """Of a model that sees what matters."""
    return gather()


@pytest.fixture(scope="session")
def champion(good: Evidence) -> Champion:
    """The good model answers."""
    return Champion("1.2.3", "c0ffee" * 10, good.answers)


@pytest.fixture(scope="session")
def broken(gather: Gather) -> Evidence:
    """Of a model that answers NaN: its pipeline, its graph and its answers."""
    good = gather()
    classifier = good.fitted.pipeline[-1]
    classifier.coef_ = np.full_like(classifier.coef_, np.nan)
    graph = compile_model(MODEL, good.fitted.pipeline)
    champion = Champion("1.2.3", "c0ffee" * 10, good.answers)
    return replace(good, graph=graph, answers=open_graph(graph).answer(good.rows.columns), champion=champion)


def _half(which: int) -> NDArray[np.int64]:
    return np.arange(_ROWS // 2) + which * (_ROWS // 2)
