"""Each proto package is a model, and its number the major version of its releases."""

import pytest
from support.protos import Toy

from athanor.contract.descriptors import from_descriptors, to_descriptors
from athanor.contract.evolution.packages import (
    major_of,
    model_of_package,
    next_package,
    package_of,
    package_of_model,
    project_of_model,
)
from athanor.errors import ContractError


def test_a_contract_knows_its_package() -> None:
    assert package_of(Toy().read().wire) == "toy.v1"


@pytest.mark.parametrize(
    ("package", "model"),
    [
        ("toy.v1", "toy"),
        ("toy.v2", "toy.v2"),
        ("toy.v10", "toy.v10"),
        ("toy.v1beta1", "toy.v1beta1"),
        ("acme.toy.v1", "acme.toy"),
        ("v1.v1", "v1"),
        ("v1.v2", "v1.v2"),
    ],
)
def test_each_package_is_a_model(package: str, model: str) -> None:
    assert model_of_package(package) == model
    assert package_of_model(model) == package_of_model(package) == package
    assert project_of_model(model) == project_of_model(package) == package.rpartition(".")[0]


def test_a_contract_has_the_name_of_its_model() -> None:
    contract = Toy().read()
    assert contract.name == "toy"
    names = contract.service.full_name, contract.outcome.full_name
    later = to_descriptors(contract).replace(b"toy.v1", b"toy.v2")
    assert from_descriptors(later, *(name.replace("v1", "v2") for name in names)).name == "toy.v2"


@pytest.mark.parametrize(("package", "major"), [("toy.v1", 1), ("toy.v10", 10), ("acme.toy.v2", 2)])
def test_the_major_is_the_number_of_the_package(package: str, major: int) -> None:
    assert major_of(package) == major


@pytest.mark.parametrize(
    "package",
    [
        "",
        "toy",
        "v1",
        "toy.v0",
        "toy.v01",
        "toy.v1beta1",
        "toy.v1alpha",
        "toy.v1p1beta1",
        "toy.v1test",
        "toy.V1",
        "toyv1",
    ],
)
def test_a_package_without_a_stable_number_is_refused(package: str) -> None:
    """Googleapis and buf promise nothing of these to callers."""
    with pytest.raises(ContractError, match=rf"proto package '{package}' has no major version: .* declare `package "):
        major_of(package)


@pytest.mark.parametrize(
    ("package", "after"), [("toy.v1", "toy.v2"), ("toy.v9", "toy.v10"), ("acme.t1.v1", "acme.t1.v2")]
)
def test_the_next_package_has_the_next_number(package: str, after: str) -> None:
    assert next_package(package) == after
