"""Datasets of synthetic flights, read from frames."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd
from support.flights import make_columns

from athanor.data.building.snapshot_build import BuildOptions
from athanor.data.dataset import Dataset, Tables, Transformed
from athanor.data.sources.function import FunctionSource

OPTIONS: Final = BuildOptions(as_of=datetime(2014, 1, 1, tzinfo=UTC), why="a test")


def make_frame(count: int, seed: int = 0) -> pd.DataFrame:
    """Valid rows, as a transform returns them."""
    columns = make_columns(count, seed)
    return pd.DataFrame({**columns, "scheduled_departure": pd.to_datetime(columns["scheduled_departure"], utc=True)})


def make_dataset(frame: pd.DataFrame, left_out: int = 0, **declared: Any) -> Dataset:
    """A dataset with one source that returns a frame; its transform leaves out the first rows of each batch."""

    def read() -> Iterator[pd.DataFrame]:
        yield frame

    def transform(tables: Tables) -> Transformed:
        rows = tables["flights"]
        return Transformed(rows.iloc[left_out:], {"cancelled": min(left_out, len(rows))})

    return Dataset({"flights": FunctionSource(read)}, "flights", transform, **declared)


def make_incremental(read: Callable[[datetime | None], pd.DataFrame]) -> Dataset:
    """A dataset with one incremental source."""

    def read_since(since: datetime | None) -> Iterator[pd.DataFrame]:
        yield read(since)

    return Dataset({"flights": FunctionSource(read_since)}, "flights", lambda tables: Transformed(tables["flights"]))
