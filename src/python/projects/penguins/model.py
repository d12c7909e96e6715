"""The model of penguins: the contract of a penguin, and its measurements as features."""

from typing import Final

from athanor.contract.contract import read_contract
from athanor.features.arrays import Arrays
from athanor.features.features import Features, Model
from penguins.v1 import penguins_pb2

_MEASUREMENTS: Final = ("bill_length", "bill_depth", "flipper_length", "body_mass")


def compute_features(columns: Arrays) -> Arrays:
    """The columns as they are."""
    return {name: columns[name] for name in (*_MEASUREMENTS, "sex")}


MODEL: Final = Model(
    contract=read_contract(
        penguins_pb2.DESCRIPTOR.services_by_name["PenguinsService"],
        outcome=penguins_pb2.PenguinOutcome.DESCRIPTOR,
    ),
    features=Features(numeric=_MEASUREMENTS, categorical=("sex",), compute=compute_features),
)
