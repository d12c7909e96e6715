"""What Ray's tasks do, without Ray: it may put small blocks of the reader together."""

import pickle
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from support.datasets import make_frame

from athanor.data.building import ray_engine
from athanor.data.building.engine import Job, ProcessedBatch, pandas_engine
from athanor.data.dataset import Dataset, Tables, Transformed
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.raw import Raw, keep_raw
from athanor.errors import DataError
from projects.delays.model import MODEL

_AS_OF = datetime(2014, 1, 1, tzinfo=UTC)


def _transform(tables: Tables) -> Transformed:
    """Numpy would write the seats as 150.0 in a batch in which some are missing, and as 150 in others."""
    seats = tables["f"]["aircraft_seats"].astype("str").str.len()
    return Transformed(tables["f"].assign(visibility=seats))


def _load(path: Path, types: dict[str, str]) -> Job:
    source = DelimitedFiles(path, types=types)
    return Job(MODEL.contract, Dataset({"f": source}, "f", _transform, batch_rows=30), _AS_OF)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    frame = make_frame(100).assign(arrived_late=lambda f: f["arrived_late"] == 1)
    frame["scheduled_departure"] = frame["scheduled_departure"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame["aircraft_seats"] = frame["aircraft_seats"].astype("Int64").mask(frame.index == 95)
    frame["distance"] = frame["distance"].astype(object)
    frame.loc[50, "distance"] = "abc"
    frame.to_csv(tmp_path / "flights.csv", index=False)
    return tmp_path / "flights.csv"


def _run(load: partial[Job], raw: Raw) -> list[ProcessedBatch]:
    block = pa.concat_tables(ray_engine._read_main(load, raw))
    processed = ray_engine._process(pickle.dumps((load, raw, _AS_OF)), block)
    return [ray_engine._unpack(packed) for packed in processed[ray_engine._RESULT].to_pylist()]


@pytest.mark.parametrize("types", [{}, {"distance": "float64"}], ids=["undeclared", "declared"])
def test_a_block_may_hold_rows_and_rejected_rows(tmp_path: Path, path: Path, types: dict[str, str]) -> None:
    load = partial(_load, path, types)
    raw = keep_raw(load().dataset.sources, tmp_path / "raw")
    by_ray, by_pandas = _run(load, raw), list(pandas_engine(load(), raw).batches)
    assert sum(batch.rows_in for batch in by_ray) == sum(batch.rows_in for batch in by_pandas) == 100
    rows = [pa.concat_tables([batch.validated.kept for batch in batches]) for batches in (by_ray, by_pandas)]
    assert rows[0].equals(rows[1])
    assert len(rows[0]) == 99
    assert set(rows[0]["visibility"].to_pylist()) <= {2.0, 3.0, None}


def test_an_error_in_a_block_with_rows_is_raised(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athanor.data.sources.text._CHUNK_BYTES", 1_000)
    monkeypatch.setattr("athanor.data.sources.text._READ_BYTES", 1_000)
    monkeypatch.setattr("athanor.data.sources.delimited._INFERRED_BYTES", 1)
    path.write_text(path.read_text().replace("\n2013-01-03", '\n"2013-01-03', 1))
    load = partial(_load, path, {})
    raw = keep_raw(load().dataset.sources, tmp_path / "raw")
    with pytest.raises(DataError, match=r"flights\.csv"):
        _run(load, raw)
