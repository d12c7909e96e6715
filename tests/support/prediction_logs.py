"""The prediction log of one model, entries for it, and a disk that waits."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.dataset as ds
import pytest
from arro3.io import write_parquet

from athanor.contract.contract import Contract
from athanor.serving.telemetry.predictions import files
from athanor.serving.telemetry.predictions.log import PredictionLog
from athanor.serving.telemetry.predictions.model_log import ModelLog
from athanor.serving.telemetry.predictions.queue import Limits, SharedMemory
from athanor.serving.telemetry.predictions.rows import Entry
from projects.delays.model import MODEL

AT: Final = int(datetime(2026, 2, 3, 12, 0, 0, 123_456, UTC).timestamp()) * 1_000_000_000 + 123_456_789


@dataclass(frozen=True)
class OneLog:
    """The log of a replica with one model."""

    log: PredictionLog
    model: ModelLog

    @property
    def append(self) -> Callable[[Entry], None]:
        return self.model.append

    @property
    def written(self) -> int:
        return self.log.counts["delays"].written

    @property
    def dropped(self) -> dict[str, int]:
        return self.log.counts["delays"].dropped

    @property
    def memory(self) -> SharedMemory:
        return self.log._memory

    def close(self) -> None:
        self.log.close()


def make_log(folder: Path, contract: Contract = MODEL.contract, **limits: Any) -> OneLog:
    log = PredictionLog(folder, Limits(**limits))
    return OneLog(log, log.open(contract))


def entry(columns: Any, first: int, count: int, *, at_ns: int = AT, variant: str = "champion") -> Entry:
    answers = {MODEL.contract.prediction.name: np.linspace(0.1, 0.9, count)}
    return Entry(f"r{first}", at_ns, "grpc", variant, "1.2.3", "d" * 64, columns, first, answers)


def read(folder: Path) -> list[dict[str, Any]]:
    table = ds.dataset(folder, format="parquet").to_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return found


class SlowDisk:
    """A disk whose first write begins, sets `entered`, and goes on when `freed` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.freed = threading.Event(), threading.Event()
        self._write = write_parquet
        monkeypatch.setattr(files, "write_parquet", self)

    def __call__(self, *args: Any, **options: Any) -> None:
        self.entered.set()
        assert self.freed.wait(60)
        self._write(*args, **options)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
