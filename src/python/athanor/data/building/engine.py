"""Engines read, transform and validate the main table batch by batch; this module has the one for one machine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pandas as pd
import pyarrow as pa

from athanor.contract.contract import Contract
from athanor.data.checks.row_checks import ValidatedBatch, reject_unread, validate_batch
from athanor.data.dataset import Dataset, Tables, Transformed
from athanor.data.sources.columns.types import untyped_columns
from athanor.data.sources.raw import Raw
from athanor.data.sources.source import Opened, UnreadRows
from athanor.data.tables.tables import from_frame, to_frame
from athanor.data.tables.untyped import is_untyped
from athanor.errors import AthanorError, DataError


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
        table = pa.concat_tables([table for table, _ in opened.batches])
        if opened.unread:
            broken = reject_unread(self.contract, opened.unread[0]).tally.samples
            values = "; ".join(f"column {column!r}: {', '.join(samples)}" for (column, _), samples in broken.items())
            raise DataError(
                f"source {name} is joined whole, but has values that cannot be read: {values}. Correct them, or "
                "declare a type that holds them, such as string"
            )
        return to_frame(table)

    def _transform(self, tables: Tables, schema: pa.Schema) -> Transformed:
        """Runs the transform; explains its error if it may come from a number or time that is text."""
        try:
            return self.dataset.transform(tables)
        except AthanorError:
            raise
        except Exception as error:
            untyped = [(name, of) for name, frame in tables.items() for of in frame if is_untyped(frame[of])]
            if not untyped:
                raise
            named = ", ".join(f"{name}.{of}" for name, of in untyped)
            examples = "".join(f"; {of} has {example}" for of, example in untyped_columns(schema).items())
            raise DataError(
                f"the transform failed: {type(error).__name__}: {error}. Some columns are text, because not all their "
                f"values are numbers or times of one kind: {named}{examples}. If one should be a number or a time, "
                f"declare it, such as types={{{untyped[0][1]!r}: 'float64'}} or 'timestamp[us, tz=UTC]': rows with "
                "other values are then rejected"
            ) from error

    def open_main(self, raw: Raw) -> Opened:
        return self.dataset.sources[self.dataset.main].open(raw.table(self.dataset.main), self.dataset.batch_rows)

    def reject(self, unread: UnreadRows) -> ProcessedBatch:
        """Rejects rows of the main table that the source could not read."""
        validated = reject_unread(self.contract, unread)
        return ProcessedBatch(validated, validated.tally.rows, {}, 0)

    def process(self, table: pa.Table, amount: int, others: Mapping[str, pd.DataFrame]) -> ProcessedBatch:
        """Transforms and validates a batch of the main table.

        Raises:
            DataError: the transform loses or multiplies rows, or returns columns other than the contract's.
        """
        transformed = self._transform({self.dataset.main: to_frame(table), **others}, table.schema)
        transformed.require_all_accounted(table.num_rows)
        values, mistyped = from_frame(self.contract.dataset_columns, transformed.frame)
        validated = validate_batch(self.contract, self.dataset.row_checks, values, mistyped, self.as_of)
        return ProcessedBatch(validated, table.num_rows, transformed.left_out, amount)


def pandas_engine(job: Job, raw: Raw) -> Reading:
    """Processes one batch after the other in this process."""
    opened = job.open_main(raw)
    return Reading(opened.size, _process_all(job, opened, job.read_others(raw)))


def _process_all(job: Job, opened: Opened, others: Mapping[str, pd.DataFrame]) -> Iterator[ProcessedBatch]:
    for table, amount in opened.batches:
        yield job.process(table, amount, others)
    for unread in opened.unread:
        yield job.reject(unread)
