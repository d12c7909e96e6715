"""The engine on Ray Data: batches are transformed and validated in parallel, here or on a cluster.

It returns the same batches in the same order as `engine.pandas_engine`, so that the snapshot is the same.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from athanor.data.building.engine import Job, ProcessedBatch, Reading
from athanor.data.sources.raw import Raw
from athanor.errors import AthanorError

LoadJob: TypeAlias = Callable[[], Job]
"""Loads the job on any node: a contract cannot be pickled, but every worker can import the modules that declare it."""

_AMOUNT: Final = "athanor.amount"
_RESULT: Final = "athanor.result"


@dataclass(frozen=True)
class RayEngine:
    """Runs a job on Ray Data, on the Ray cluster this process has joined.

    Attributes:
        load_job: a function that every worker can import.
    """

    load_job: LoadJob

    def __call__(self, job: Job, raw: Raw) -> Reading:
        return Reading(job.open_main(raw).size, self._run(job, raw))

    def _run(self, job: Job, raw: Raw) -> Iterator[ProcessedBatch]:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = ray.data.read_datasource(_make_datasource(partial(_read_main, self.load_job, raw)))
        process = partial(_process, pickle.dumps((self.load_job, raw, job.as_of)))
        validated = rows.map_batches(process, batch_size=None, batch_format="pyarrow")
        for row in validated.iter_rows():
            yield _unpack(row[_RESULT])


def _make_datasource(read: Callable[[], Iterator[pa.Table]]) -> Any:
    """A datasource with one read task, so that blocks keep the source order."""
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class MainTable(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *limits: Any, **context: Any) -> list[ReadTask]:
            return [ReadTask(read, BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None))]

    return MainTable()  # type: ignore[no-untyped-call]


def _read_main(load_job: LoadJob, raw: Raw) -> Iterator[pa.Table]:
    """The batches of the main table, each row with its share of the batch's amount."""
    job = load_job()
    schema = pa.schema([(_RESULT, pa.large_binary())])
    try:
        opened = job.open_main(raw)
        for table, amount in opened.batches:
            share = amount / max(table.num_rows, 1)
            rows = table.append_column(_AMOUNT, pa.array([share] * table.num_rows, pa.float64()))
            rows = rows.append_column(_RESULT, pa.nulls(table.num_rows, pa.large_binary()))
            schema = rows.schema
            yield rows
        for unread in opened.unread:
            yield _pack(job.reject(unread), schema)
    except AthanorError as error:
        yield _pack(error, schema)


def _process(prepared: bytes, table: pa.Table) -> pa.Table:
    """Processes a batch in a worker. Ray may put the results and errors of the reader into one block with its rows."""
    is_result = pc.is_valid(table[_RESULT])
    results = table.filter(is_result).select([_RESULT])
    rows = table.filter(pc.invert(is_result)).drop_columns([_RESULT])
    if results.num_rows and not rows.num_rows:
        return results
    try:
        job, others = _prepare(prepared)
        amount = round(pc.sum(rows[_AMOUNT]).as_py() or 0)
        return pa.concat_tables([_pack(job.process(rows.drop_columns([_AMOUNT]), amount, others)), results])
    except AthanorError as error:
        return _pack(error)


def _pack(result: ProcessedBatch | AthanorError, schema: pa.Schema | None = None) -> pa.Table:
    """A result as a row, of which all other columns are null.

    Errors of ours are results too: Ray would wrap and log a raised one.
    """
    schema = schema or pa.schema([(_RESULT, pa.large_binary())])
    packed = pa.array([pickle.dumps(result)], pa.large_binary())
    return pa.table([packed if field.name == _RESULT else pa.nulls(1, field.type) for field in schema], schema=schema)


def _unpack(packed: bytes) -> ProcessedBatch:
    result: ProcessedBatch | AthanorError = pickle.loads(packed)
    if isinstance(result, AthanorError):
        raise result
    return result


@lru_cache(maxsize=1)
def _prepare(prepared: bytes) -> tuple[Job, dict[str, pd.DataFrame]]:
    """The job and the tables to join, read once per worker."""
    load_job, raw, as_of = pickle.loads(prepared)
    job: Job = replace(load_job(), as_of=as_of)
    return job, job.read_others(raw)
