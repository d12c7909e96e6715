"""Engines: what reads, transforms and judges the main table, batch by batch. Here is the one for one machine."""

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
    """What became of a batch of the main table.

    Attributes:
        rows_in: rows of the batch.
        left_out: of them, those that the transform left out, by reason.
        amount: how much of `Reading.size` it was.
    """

    validated: ValidatedBatch
    rows_in: int
    left_out: Mapping[str, int]
    amount: int


@dataclass(frozen=True)
class Reading:
    """A main table that is being read.

    Attributes:
        size: how much there is, in the unit of `ProcessedBatch.amount`.
        batches: in the order of the source.
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
        as_of: an event after it has not happened.
    """

    contract: Contract
    dataset: Dataset
    as_of: datetime

    def read_others(self, raw: Raw) -> dict[str, pd.DataFrame]:
        """Every table but the main one, whole."""
        others = {name: source for name, source in self.dataset.sources.items() if name != self.dataset.main}
        return {name: self._read(raw, name) for name in others}

    def _read(self, raw: Raw, name: str) -> pd.DataFrame:
        opened = self.dataset.sources[name].open(raw.table(name), self.dataset.batch_rows)
        return to_frame(pa.concat_tables([table for table, _ in opened.batches]))

    def process(self, table: pa.Table, amount: int, others: Mapping[str, pd.DataFrame]) -> ProcessedBatch:
        """Transforms and judges a batch of the main table.

        Raises:
            DataError: the transform loses or multiplies rows, or makes other columns than the contract's.
        """
        transformed = self.dataset.transform({self.dataset.main: to_frame(table), **others})
        transformed.require_all_accounted(table.num_rows)
        values, mistyped = from_frame(self.contract.dataset_columns, transformed.frame)
        validated = validate_batch(self.contract, self.dataset.row_checks, values, mistyped, self.as_of)
        return ProcessedBatch(validated, table.num_rows, transformed.left_out, amount)


def pandas_engine(job: Job, raw: Raw) -> Reading:
    """One batch after the other, in this process, with pandas."""
    dataset = job.dataset
    opened = dataset.sources[dataset.main].open(raw.table(dataset.main), dataset.batch_rows)
    others = job.read_others(raw)
    return Reading(opened.size, (job.process(table, amount, others) for table, amount in opened.batches))
