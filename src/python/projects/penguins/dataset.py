"""The Palmer penguins, as `penguins.csv` beside this module holds them; LICENSE says where they come from."""

from typing import Final

from athanor.data.dataset import Dataset, Tables, Transformed
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.files import in_package

_NAMES: Final = {
    "bill_length_mm": "bill_length",
    "bill_depth_mm": "bill_depth",
    "flipper_length_mm": "flipper_length",
    "body_mass_g": "body_mass",
    "sex": "sex",
    "species": "observed_species",
}


def transform(tables: Tables) -> Transformed:
    """Penguins under the contract's names. Leaves out those without measurements."""
    penguins = tables["penguins"]
    measured = penguins[penguins["bill_length_mm"].notna()]
    return Transformed(measured[[*_NAMES]].rename(columns=_NAMES), {"not measured": len(penguins) - len(measured)})


DATASET: Final = Dataset(
    sources={"penguins": DelimitedFiles(in_package(__package__, "penguins.csv"), columns=tuple(_NAMES))},
    main="penguins",
    transform=transform,
)
