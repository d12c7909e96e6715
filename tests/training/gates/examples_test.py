"""The examples in the docstrings of gates."""

import doctest

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from support.examples import find_examples, run_example
from support.protos import Toy

from athanor.contract.columns import Columns
from athanor.contract.inputs import GraphInputs
from athanor.contract.v1 import options_pb2
from athanor.features.features import Features, Model
from athanor.release.graph import Graph
from athanor.tasks.tasks import task_of
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Evidence, Fitted, Rows
from athanor.training.gates import artefact, behaviour, corners, coverage, metrics, slices


def _make_model() -> Model:
    toy = Toy()
    toy.column("color").roles.append(options_pb2.ROLE_FEATURE)
    toy.column("probability").MergeFrom(options_pb2.ColumnOptions(minimum=0, maximum=1))
    return Model(toy.read(), Features(("amount",), ("color",), lambda columns: columns))


def _make_columns(seed: int) -> Columns:
    """Rows that win the likelier the larger their amount, whatever their color."""
    random = np.random.default_rng(seed)
    amount = random.uniform(0, 9, 400)
    return {
        "amount": amount,
        "color": random.choice(np.array(["red", "green"], dtype=object), 400),
        "won": (random.uniform(size=400) < 1 / (1 + np.exp(4.5 - amount))).astype(np.float64),
    }


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    model = _make_model()
    task = task_of(model.contract)
    past, later = (Rows.make(task, model, _make_columns(seed)) for seed in (0, 1))
    encoded = ColumnTransformer([("amount", "passthrough", [0]), ("color", OneHotEncoder(), [1])])
    # The color has no effect; without this, noise would give it some.
    encoded.set_params(transformer_weights={"color": 0.0})
    pipeline = make_pipeline(encoded, LogisticRegression()).fit(past.frame, past.labels)
    graph = compile_model(model, pipeline)
    baseline = DummyClassifier().fit(past.frame, past.labels)
    answers = Graph(graph, GraphInputs.of(model.contract.columns)).answer(later.columns)
    return Evidence(
        model, task, later, Fitted(pipeline, task), graph, answers, Fitted(baseline, task).answer(later.frame)
    )


@pytest.mark.parametrize(
    "example", find_examples(artefact, behaviour, corners, coverage, metrics, slices), ids=lambda example: example.name
)
def test_the_example_runs(example: doctest.DocTest, evidence: Evidence) -> None:
    run_example(example, evidence=evidence)
