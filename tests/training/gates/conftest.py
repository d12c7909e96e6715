"""Evidence from real pipelines, fitted on synthetic flights."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from support.flights import make_columns
from support.model_graphs import open_graph
from support.pipelines import make_pipeline_over

from athanor.contract.columns import Columns
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Champion, Evidence, Rows
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
        past, later = Rows.make(MODEL, fitted_on).take(_half(0)), Rows.make(MODEL, evaluated_on).take(_half(1))
        fitted = clone(pipeline or make_pipeline_over("distance", "wind_speed")).fit(past.frame, past.labels)
        graph = compile_model(MODEL, fitted)
        baseline = make_pipeline_over("visibility").fit(past.frame, past.labels)
        parts: dict[str, Any] = {
            "model": MODEL,
            "rows": later,
            "pipeline": fitted,
            "graph": graph,
            "probabilities": open_graph(graph).predict_probability(later.columns),
            "baseline": baseline.predict_proba(later.frame)[:, 1],
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
    return Champion("1.2.3", "c0ffee" * 10, good.probabilities)


@pytest.fixture(scope="session")
def broken(gather: Gather) -> Evidence:
    """Of a model that answers NaN: its pipeline, its graph and its probabilities."""
    good = gather()
    good.pipeline[-1].coef_ = np.full_like(good.pipeline[-1].coef_, np.nan)
    graph = compile_model(MODEL, good.pipeline)
    return Evidence(
        good.model,
        good.rows,
        good.pipeline,
        graph,
        open_graph(graph).predict_probability(good.rows.columns),
        good.baseline,
        Champion("1.2.3", "c0ffee" * 10, good.probabilities),
    )


def _half(which: int) -> NDArray[np.int64]:
    return np.arange(_ROWS // 2) + which * (_ROWS // 2)
