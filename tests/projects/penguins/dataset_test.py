"""What becomes of the table of penguins. The oracle is the file, read by nothing but the standard library."""

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from athanor.contract.columns import Columns
from athanor.contract.validation import validate
from athanor.data.sources.files import in_package
from athanor.data.tables.tables import from_frame
from projects.penguins.dataset import transform
from projects.penguins.model import MODEL

_PATH = in_package("projects.penguins", "penguins.csv")()
_FEW = """\
species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year
Adelie,Torgersen,39.1,18.7,181,3750,male,2007
Adelie,Torgersen,NA,NA,NA,NA,NA,2007
Gentoo,Biscoe,44.5,14.3,216,4100,NA,2007
"""


def _transform(file: Path | io.StringIO) -> tuple[Columns, dict[str, int]]:
    transformed = transform({"penguins": pd.read_csv(file)})
    columns, mistyped = from_frame(MODEL.contract.dataset_columns, transformed.frame)
    assert mistyped == ()
    return columns, dict(transformed.left_out)


def test_penguins_without_measurements_are_left_out_and_counted() -> None:
    columns, left_out = _transform(io.StringIO(_FEW))
    assert left_out == {"not measured": 1}
    assert columns["bill_length"].tolist() == [39.1, 44.5]
    assert columns["sex"].tolist() == ["male", ""]
    assert columns["observed_species"].tolist() == ["Adelie", "Gentoo"]


def test_the_contract_holds_for_every_penguin() -> None:
    columns, left_out = _transform(_PATH)
    with _PATH.open(encoding="utf-8") as file:
        measured = [row for row in csv.DictReader(file) if row["body_mass_g"] != "NA"]
    assert validate(MODEL.contract.dataset_columns, columns) == ()
    assert left_out == {"not measured": 2}
    assert Counter(columns["observed_species"]) == Counter(row["species"] for row in measured)
    assert columns["body_mass"].tolist() == [float(row["body_mass_g"]) for row in measured]
    assert Counter(columns["observed_species"]) == {"Adelie": 151, "Gentoo": 123, "Chinstrap": 68}


@pytest.mark.parametrize("name", ["bill_length", "flipper_length"])
def test_features_are_the_measurements(name: str) -> None:
    columns, _ = _transform(_PATH)
    features = MODEL.features.eager(columns)
    np.testing.assert_array_equal(features[name], columns[name].astype(np.float32))
    np.testing.assert_array_equal(features["sex"], columns["sex"])


def test_its_fingerprint_stays_the_same() -> None:
    """Releases record it: an edit that changes it makes a new minor version."""
    assert MODEL.contract.fingerprint == "970e2480450476e8fa9270be92d6c77369773768fbfdc03c0de8b6565dcf16f5"
