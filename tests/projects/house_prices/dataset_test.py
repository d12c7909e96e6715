"""What becomes of the table of sales. The oracle is the file, read by nothing but the standard library."""

import bz2
import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from athanor.contract.columns import Columns
from athanor.contract.validation import validate
from athanor.data.sources.files import in_package
from athanor.data.tables.tables import from_frame
from projects.house_prices.dataset import transform
from projects.house_prices.model import MODEL

_PATH = in_package("projects.house_prices", "house_sales.csv.bz2")()
_FEW = """\
date,price,bedrooms,bathrooms,sqft_living,sqft_lot,floors,waterfront,view,condition,grade,yr_built,yr_renovated,zipcode
2014-05-02,625000,4,3.25,2730,54014,1.0,1,0,3,9,2007,0,98059
2015-01-31,275000,3,1.5,1180,10277,1.5,0,4,3,6,1983,2004,98045
"""


def _transform(file: Path | io.StringIO) -> Columns:
    sales = pd.read_csv(file, dtype={"zipcode": "str"})
    transformed = transform({"sales": sales})
    columns, mistyped = from_frame(MODEL.contract.dataset_columns, transformed.frame)
    assert mistyped == ()
    assert transformed.left_out == {}
    return columns


def test_a_sale_is_what_the_table_says() -> None:
    columns = _transform(io.StringIO(_FEW))
    assert columns["sold_on"].tolist() == np.array(["2014-05-02", "2015-01-31"], "M8[us]").tolist()
    assert columns["zip_code"].tolist() == ["98059", "98045"]
    assert columns["living_area"].tolist() == [2730, 1180]
    assert columns["waterfront"].tolist() == [1, 0]
    assert columns["sold_for"].tolist() == [625_000, 275_000]
    np.testing.assert_array_equal(columns["year_renovated"], [np.nan, 2004])


def test_a_house_never_renovated_has_no_years_since() -> None:
    features = MODEL.features.eager(_transform(io.StringIO(_FEW)))
    np.testing.assert_array_equal(features["years_since_renovation"], np.array([np.nan, 11], np.float32))
    assert features["zip_code"].tolist() == ["98059", "98045"]


def test_the_contract_refuses_one_mistyped_house_and_no_other() -> None:
    """A house of 1,620 square feet with 33 bedrooms: well known, and most likely one of 3."""
    columns = _transform(_PATH)
    (breach,) = validate(MODEL.contract.dataset_columns, columns)
    assert breach.column.name == "bedrooms"
    assert breach.values.tolist() == [33]
    assert columns["living_area"][breach.rows].tolist() == [1_620]


def test_every_sale_is_there() -> None:
    columns = _transform(_PATH)
    with bz2.open(_PATH, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7_205
    assert columns["sold_for"].tolist() == [float(row["price"]) for row in rows]
    assert np.isnan(columns["year_renovated"]).sum() == sum(row["yr_renovated"] == "0" for row in rows)
    assert columns["sold_on"].astype("M8[D]").astype(str).tolist() == [row["date"] for row in rows]


def test_its_fingerprint_stays_the_same() -> None:
    """Releases record it: an edit that changes it makes a new minor version."""
    assert MODEL.contract.fingerprint == "2547b29de811fb97b065c42d49180d84f6ea9f5bbe04001eb2d066ca6de48818"
