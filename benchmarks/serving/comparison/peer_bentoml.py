"""BentoML, asked over REST; as installed, and at its best: batching waiting requests (`batchable`).

Rows come as lists, and become a data frame in the service: BentoML 1.4 fails to gather data frames, and is slower at
reading them from JSON.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import bentoml
import joblib
import numpy as np
import pandas as pd
from bentoml_cli.cli import cli
from numpy.typing import NDArray

from serving.comparison.peer import Way, read_task

_PIPELINE: Final = "BENCHMARK_PIPELINE"


class _Pipeline:
    def __init__(self) -> None:
        self._pipeline = joblib.load(os.environ[_PIPELINE])
        self._names = list(self._pipeline.feature_names_in_)

    def _answer(self, rows: list[list[Any]]) -> NDArray[np.float64]:
        probabilities: NDArray[np.float64] = self._pipeline.predict_proba(pd.DataFrame(rows, columns=self._names))
        return probabilities[:, 1]


@bentoml.service
class AsInstalled(_Pipeline):
    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, rows: list[list[Any]]) -> np.ndarray:
        return self._answer(rows)


@bentoml.service(metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Batching(_Pipeline):
    # BentoML refuses requests beyond this latency; it does not wait for so long.
    @bentoml.api(batchable=True, max_batch_size=4_000, max_latency_ms=10_000)  # type: ignore[untyped-decorator]
    def predict(self, rows: list[list[Any]]) -> np.ndarray:
        return self._answer(rows)


if __name__ == "__main__":
    task = read_task()
    os.environ[_PIPELINE] = str(task.pipeline)
    os.environ["BENTOML_HOME"] = str(task.folder)
    service = "Batching" if task.way is Way.BATCHING else "AsInstalled"
    sys.argv = ["bentoml", "serve", f"serving.comparison.peer_bentoml:{service}"]
    sys.argv += ["--host=127.0.0.1", f"--port={task.port}"]
    cli()
