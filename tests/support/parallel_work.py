"""Work in processes of the local engine, to be killed: a process that forks finds it by this module's name."""

import os
import signal
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray

from athanor.training.search.parallel import on_engine


def work_forever(folder: Path, workers: int) -> None:
    """As a search does: rows of some megabytes, which workers share. Each leaves a file of its process ID."""
    rows = np.zeros(1_000_000)
    with on_engine("local"):
        joblib.Parallel(n_jobs=workers)(joblib.delayed(_wait)(folder, rows) for _ in range(workers))


def _wait(folder: Path, rows: NDArray[np.float64]) -> None:
    (folder / str(os.getpid())).write_text(type(rows).__name__)
    signal.pause()
