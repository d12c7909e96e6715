"""The prediction log: rows with their predictions, appended to Parquet files in the background.

A request never waits for it. Rows that it has no room for, or cannot write, are dropped and counted. One thread writes
for all models of a replica.
"""

import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from athanor.contract.contract import Contract
from athanor.serving.telemetry.predictions.files import prepare_folder
from athanor.serving.telemetry.predictions.model_log import ModelLog, Writer
from athanor.serving.telemetry.predictions.queue import Counts, Limits, SharedMemory

# Maximum share of one processor's time that writing takes from the threads that answer.
_MAX_SHARE: Final = 0.1
# As arrays of single requests, rows take ten times the memory that they take in record batches.
_GATHER_S: Final = 1.0


class PredictionLog:
    """The logs of all models, each in a folder of its own."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        """Raises SettingsError if the folder cannot be written."""
        self._folder = prepare_folder(folder)
        self._limits = limits or Limits()
        self._memory = SharedMemory(self._limits)
        self._counts: dict[str, Counts] = {}
        # Unique for each start of a replica: no file is ever overwritten.
        self._replica = secrets.token_hex(8)
        self._sequence = 0
        self._worked_until = 0.0
        self._closing = False
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._logs: tuple[ModelLog, ...] = ()
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    def open(self, contract: Contract) -> ModelLog:
        """Begin the log of a model.

        Raises:
            SettingsError: its folder cannot be written, or a column has a name of the log's own.
        """
        folder = prepare_folder(self._folder / contract.name)
        writer = Writer(self._wake, self._pause, self._name_file)
        with self._lock:
            # Of a model that comes back: its counts go on.
            counts = self._counts.get(contract.name) or Counts()
            log = ModelLog(folder, contract, self._memory, counts, writer)
            self._counts = {**self._counts, contract.name: counts}
            self._logs = (*self._logs, log)
        return log

    @property
    def counts(self) -> Mapping[str, Counts]:
        """By model; models that left are among them."""
        return self._counts

    def close(self) -> None:
        """Write what is in memory, and take no more."""
        for log in self._logs:
            log.close()
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait(min(_GATHER_S, self._limits.flush_s))
            self._wake.clear()
            self._write_due()
        self._write_due()

    def _write_due(self) -> None:
        logs = self._logs
        # Before their rest is gathered: one that is closed from now on has its turn next time.
        closed = [log for log in logs if log.is_closed]
        for log in logs:
            log.gather()
        old = time.monotonic() - self._limits.flush_s
        for log in logs:
            if log.rows and (log in closed or log.since <= old):
                log.flush()
        # The fullest first: logs of models with few rows go on to gather them for a larger file.
        while self._limits.should_write(sum(log.rows for log in logs), sum(log.bytes for log in logs)):
            max(logs, key=lambda log: log.bytes).flush()
        with self._lock:
            self._logs = tuple(log for log in self._logs if log not in closed)

    def _name_file(self) -> str:
        self._sequence += 1
        return f"{self._replica}-{self._sequence:06d}.parquet"

    def _pause(self) -> None:
        """Sleep until writing is back at its share of the time."""
        now = time.thread_time()
        worked, self._worked_until = now - self._worked_until, now
        time.sleep(0 if self._closing else worked * (1 / _MAX_SHARE - 1))
