"""The flights many times over, streamed: each copy lies 52 weeks before the one after it.

A copy is joined with the weather by the hour it was flown in, and moved after that: so it has the same weather, its
keys are its own, and every batch costs what it costs in the example.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from athanor.data.building.snapshot_build import build_snapshot
from athanor.data.dataset import Dataset, Tables, Transformed
from athanor.data.sources.parquet import ParquetFiles
from athanor.home import Home
from data.comparison import inputs
from data.comparison.measure import Answer, Clock, contend
from projects.flight_delay.dataset import DATASET, transform
from projects.flight_delay.model import MODEL

_FOLDER: Final = "many"
_COPY: Final = "copy"
_APART: Final = pd.Timedelta(weeks=52)


def _generate(folder: Path, _: Path, clock: Clock) -> Answer:
    """One Parquet file for each copy."""
    times = int((folder / inputs.TIMES).read_text())
    (folder / _FOLDER).mkdir()
    rows = 0
    for _round in clock.rounds():
        with ZipFile(folder / inputs.RAW / "flights.csv.zip") as archive, archive.open(archive.namelist()[0]) as text:
            nulls = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
            flights = csv.read_csv(text, convert_options=nulls)
        rows = flights.num_rows * times
        for copy in range(times):
            numbered = flights.append_column(_COPY, pa.array([copy] * flights.num_rows, pa.int32()))
            pq.write_table(numbered, folder / _FOLDER / f"copy-{copy:03}.parquet", compression="zstd")
    return Answer(rows)


def _transform(tables: Tables) -> Transformed:
    flights = tables[DATASET.main]
    done = []
    for copy in flights[_COPY].unique():
        one = transform({**tables, DATASET.main: flights[flights[_COPY] == copy].drop(columns=_COPY)})
        moved = one.frame["scheduled_departure"].sub(copy * _APART)
        done.append(Transformed(one.frame.assign(scheduled_departure=moved), one.left_out))
    left_out = {reason: sum(one.left_out[reason] for one in done) for reason in done[0].left_out}
    return Transformed(pd.concat([one.frame for one in done], ignore_index=True), left_out)


def _build(folder: Path, scratch: Path, clock: Clock) -> Answer:
    """All of `athanor data build`, as on the flights themselves."""
    dataset = Dataset(
        sources={**DATASET.sources, DATASET.main: ParquetFiles(folder / _FOLDER)},
        main=DATASET.main,
        transform=_transform,
        row_checks=DATASET.row_checks,
        checks=DATASET.checks,
        batch_rows=DATASET.batch_rows,
    )
    rows = 0
    for number in clock.rounds():
        rows = build_snapshot(MODEL.contract, dataset, Home(scratch / str(number))).snapshot.rows_in
    return Answer(rows)


if __name__ == "__main__":
    contend({"generate": _generate, "build": _build}, "pandas", "pyarrow", "deltalake")
