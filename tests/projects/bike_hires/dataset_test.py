"""What becomes of the table of hours. The oracle is the file, read by nothing but the standard library."""

import bz2
import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from athanor.contract.columns import Columns
from athanor.contract.validation import validate
from athanor.data.sources.files import in_package
from athanor.data.tables.tables import from_frame
from projects.bike_hires.dataset import transform
from projects.bike_hires.model import MODEL

_PATH = in_package("projects.bike_hires", "hours_of_2011.csv.bz2")()
_FEW = """\
day,hr,holiday,weathersit,temp,hum,windspeed,bikers
1,0,0,clear,0.24,0.81,0.0,16
185,13,1,cloudy/misty,0.5,0.4,0.5,651
310,1,0,light rain/snow,0.0,1.0,1.0,115
"""


def _transform(file: Path | io.StringIO) -> Columns:
    transformed = transform({"hours": pd.read_csv(file)})
    columns, mistyped = from_frame(MODEL.contract.dataset_columns, transformed.frame)
    assert mistyped == ()
    assert transformed.left_out == {}
    return columns


def test_an_hour_is_an_instant_and_its_weather_has_units() -> None:
    columns = _transform(io.StringIO(_FEW))
    # Washington is five hours behind UTC in winter, four in summer and in the first of November's two hours from one.
    expected = np.array(["2011-01-01T05", "2011-07-04T17", "2011-11-06T05"], "M8[us]")
    assert columns["began_at"].tolist() == expected.tolist()
    assert columns["weather"].tolist() == ["clear", "misty", "light rain or snow"]
    assert columns["temperature"] == pytest.approx([3.28, 15.5, -8])
    assert columns["humidity"] == pytest.approx([81, 40, 100])
    assert columns["wind_speed"] == pytest.approx([0, 33.5, 67])
    assert columns["holiday"].tolist() == [0, 1, 0]
    assert columns["bikes_hired"].tolist() == [16, 651, 115]


def test_features_show_the_clock_of_washington() -> None:
    features = MODEL.features.eager(_transform(io.StringIO(_FEW)))
    assert features["hour"].tolist() == [0, 13, 1]
    assert features["weekday"].tolist() == [5, 0, 6]
    assert features["day_of_year"].tolist() == [1, 185, 310]


def test_the_contract_holds_in_every_hour() -> None:
    columns = _transform(_PATH)
    with bz2.open(_PATH, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8_645
    assert validate(MODEL.contract.dataset_columns, columns) == ()
    assert columns["bikes_hired"].tolist() == [float(row["bikers"]) for row in rows]
    new_year = datetime(2011, 1, 1)  # noqa: DTZ001 - the clock of Washington
    clock = [new_year + timedelta(days=int(row["day"]) - 1, hours=int(row["hr"])) for row in rows]
    instants = [time.replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC) for time in clock]
    assert [time.replace(tzinfo=UTC) for time in columns["began_at"].tolist()] == instants


def test_no_hour_is_there_twice() -> None:
    began_at = _transform(_PATH)["began_at"]
    assert len(np.unique(began_at)) == len(began_at)


def test_its_fingerprint_stays_the_same() -> None:
    """Releases record it: an edit that changes it makes a new minor version."""
    assert MODEL.contract.fingerprint == "4e2ce481d0b107c0149082217be9204ca19d3a5f4ba23609ba55cc578de89247"
