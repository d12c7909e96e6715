"""The model of house prices: the contract of a house, and the features that training traces into the graph."""

from typing import Final

from athanor.contract.contract import read_contract
from athanor.features.arrays import Arrays
from athanor.features.features import Features, Model
from athanor.features.times import year
from house_prices.v1 import house_prices_pb2

_AS_THEY_ARE: Final = (
    "bedrooms",
    "bathrooms",
    "floors",
    "living_area",
    "lot_area",
    "waterfront",
    "view",
    "condition",
    "grade",
    "year_built",
)


def compute_features(columns: Arrays) -> Arrays:
    """How long ago the last renovation was instead of its year, and the rest as it is."""
    return {
        **{name: columns[name] for name in _AS_THEY_ARE},
        "years_since_renovation": year(columns["sold_on"]) - columns["year_renovated"],
        "zip_code": columns["zip_code"],
    }


MODEL: Final = Model(
    contract=read_contract(
        house_prices_pb2.DESCRIPTOR.services_by_name["HousePricesService"],
        outcome=house_prices_pb2.Sale.DESCRIPTOR,
    ),
    features=Features(
        numeric=(*_AS_THEY_ARE, "years_since_renovation"), categorical=("zip_code",), compute=compute_features
    ),
)
