"""A recipe in values: everything that is in force, and no address of an object."""

import json
import re

import numpy as np
import pytest
from scipy.stats import loguniform
from support.pipelines import make_pipeline_over, make_recipe
from support.tables import TASKS, make_model, make_recipe_of

from athanor.training.candidates import Candidate
from athanor.training.description import describe_recipe
from athanor.training.evaluation.slices import by_column
from athanor.training.gates.behaviour import MinimumFunction
from athanor.training.gates.slices import NoSliceWorse
from athanor.training.splits import Share


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("with_time", [True, False])
def test_defaults_are_described_for_every_task(task: str, with_time: bool) -> None:
    recipe = make_recipe_of(make_model(task, with_time=with_time, with_doubt=True))
    found = describe_recipe(recipe)
    assert json.loads(json.dumps(found)) == found
    assert found == describe_recipe(make_recipe_of(make_model(task, with_time=with_time, with_doubt=True)))
    assert not re.search(r"0x[0-9a-f]{6}", json.dumps(found))
    assert found["split"] == (
        {"kind": "Latest", "age": 0.2} if with_time else {"kind": "Share", "share": 0.2, "seed": 0}
    )
    assert found["folds"] == {"count": 2 if with_time else 5, "by_time": with_time}
    assert [each["name"] for each in found["candidates"]] == ["linear", "boosting"]
    assert found["coverage"] == 0.9
    assert bool(found["gates_after_refit"]) == found["refit"] == with_time


def test_gates_that_run_in_any_case_are_listed() -> None:
    found = describe_recipe(make_recipe_of(make_model("binary"), gates=()))
    assert {"name": "parity of graph and pipeline", "kind": "Parity", "rows": 10_000, "at_most": 1e-6} in found["gates"]
    assert "answers near the evaluated model's" in [gate["name"] for gate in found["gates_after_refit"]]


def test_distributions_slices_functions_and_rows_are_written_out() -> None:
    slices = (by_column("origin"),)
    row = {"distance": np.array([100.0]), "origin": np.array(["JFK"], dtype=object)}
    found = describe_recipe(
        make_recipe(
            candidates=(
                Candidate("drawn", make_pipeline_over("distance"), {"logisticregression__C": loguniform(0.01, b=10)}),
            ),
            gates=(
                NoSliceWorse(slices, "roc_auc", largest_drop=0.1, smallest_rows=50),
                MinimumFunction("short", row, low=0.0, high=0.5),
            ),
            slices=slices,
            split=Share(np.float64(0.25)),
            trials=2,
        )
    )
    assert found["candidates"][0]["space"] == {"logisticregression__C": "loguniform(0.01, b=10)"}
    assert found["gates"][0]["slices"] == found["slices"] == ["origin"]
    assert found["gates"][1]["rows"] == {"distance": [100.0], "origin": ["JFK"]}
    assert found["split"]["share"] == 0.25
    assert found["defaults"] == ["coverage", "folds", "scoring", "refit"]
