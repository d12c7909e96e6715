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
        size = job.dataset.sources[job.dataset.main].open(raw.table(job.dataset.main), job.dataset.batch_rows).size
        return Reading(size, self._run(job, raw))

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
    dataset = load_job().dataset
    try:
        for table, amount in dataset.sources[dataset.main].open(raw.table(dataset.main), dataset.batch_rows).batches:
            share = amount / max(table.num_rows, 1)
            yield table.append_column(_AMOUNT, pa.array([share] * table.num_rows, pa.float64()))
    except AthanorError as error:
        yield _pack(error)


def _process(prepared: bytes, table: pa.Table) -> pa.Table:
    """Processes a batch in a worker."""
    if _RESULT in table.column_names:
        return table
    try:
        job, others = _prepare(prepared)
        amount = round(pc.sum(table[_AMOUNT]).as_py() or 0)
        return _pack(job.process(table.drop_columns([_AMOUNT]), amount, others))
    except AthanorError as error:
        return _pack(error)


def _pack(result: ProcessedBatch | AthanorError) -> pa.Table:
    """Returns our errors as results: Ray would wrap and log a raised one."""
    return pa.table({_RESULT: pa.array([pickle.dumps(result)], pa.large_binary())})


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
