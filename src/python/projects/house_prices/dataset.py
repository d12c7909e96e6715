"""Every third sale in King County within a year, in `house_sales.csv.bz2`; LICENSE says where the table comes from."""

from typing import Final

import pandas as pd

from athanor.data.dataset import Dataset, Tables, Transformed
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.files import in_package

_NAMES: Final = {
    "zipcode": "zip_code",
    "bedrooms": "bedrooms",
    "bathrooms": "bathrooms",
    "floors": "floors",
    "sqft_living": "living_area",
    "sqft_lot": "lot_area",
    "waterfront": "waterfront",
    "view": "view",
    "condition": "condition",
    "grade": "grade",
    "yr_built": "year_built",
    "yr_renovated": "year_renovated",
    "price": "sold_for",
}


def transform(tables: Tables) -> Transformed:
    """Sales under the contract's names. The table writes the year 0 where a house was never renovated."""
    sales = tables["sales"]
    renovated = sales["yr_renovated"]
    frame = sales.assign(yr_renovated=renovated.where(renovated > 0))[[*_NAMES]].rename(columns=_NAMES)
    return Transformed(frame.assign(sold_on=pd.to_datetime(sales["date"], utc=True)))


DATASET: Final = Dataset(
    sources={
        "sales": DelimitedFiles(in_package(__package__, "house_sales.csv.bz2"), types={"zipcode": "string"}),
    },
    main="sales",
    transform=transform,
)
