"""Engines read, transform and validate the main table batch by batch; this module has the one for one machine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pandas as pd
import pyarrow as pa

from athanor.contract.contract import Contract
from athanor.data.checks.row_checks import ValidatedBatch, validate_batch
from athanor.data.dataset import Dataset
from athanor.data.sources.raw import Raw
from athanor.data.tables.tables import from_frame, to_frame


@dataclass(frozen=True)
class ProcessedBatch:
    """A transformed and validated batch of the main table.

    Attributes:
        rows_in: number of rows read.
        left_out: number of those that the transform left out, by reason.
        amount: the batch's share of `Reading.size`.
    """

    validated: ValidatedBatch
    rows_in: int
    left_out: Mapping[str, int]
    amount: int


@dataclass(frozen=True)
class Reading:
    """The main table while it is read.

    Attributes:
        size: the total, in the unit of `ProcessedBatch.amount`.
        batches: in source order.
    """

    size: int
    batches: Iterator[ProcessedBatch]


class Engine(Protocol):
    """Runs a dataset's transform and its row rules over the raw input."""

    def __call__(self, job: "Job", raw: Raw) -> Reading: ...


@dataclass(frozen=True)
class Job:
    """What an engine does to each batch.

    Attributes:
        as_of: rows with a later event time are rejected.
    """

    contract: Contract
    dataset: Dataset
    as_of: datetime

    def read_others(self, raw: Raw) -> dict[str, pd.DataFrame]:
        """All tables except the main one, read whole."""
        others = {name: source for name, source in self.dataset.sources.items() if name != self.dataset.main}
        return {name: self._read(raw, name) for name in others}

    def _read(self, raw: Raw, name: str) -> pd.DataFrame:
        opened = self.dataset.sources[name].open(raw.table(name), self.dataset.batch_rows)
        return to_frame(pa.concat_tables([table for table, _ in opened.batches]))

    def process(self, table: pa.Table, amount: int, others: Mapping[str, pd.DataFrame]) -> ProcessedBatch:
        """Transforms and validates a batch of the main table.

        Raises:
            DataError: the transform loses or multiplies rows, or returns columns other than the contract's.
        """
        transformed = self.dataset.transform({self.dataset.main: to_frame(table), **others})
        transformed.require_all_accounted(table.num_rows)
        values, mistyped = from_frame(self.contract.dataset_columns, transformed.frame)
        validated = validate_batch(self.contract, self.dataset.row_checks, values, mistyped, self.as_of)
        return ProcessedBatch(validated, table.num_rows, transformed.left_out, amount)


def pandas_engine(job: Job, raw: Raw) -> Reading:
    """Processes one batch after the other in this process."""
    dataset = job.dataset
    opened = dataset.sources[dataset.main].open(raw.table(dataset.main), dataset.batch_rows)
    others = job.read_others(raw)
    return Reading(opened.size, (job.process(table, amount, others) for table, amount in opened.batches))
