"""The number of a proto package is the major version of its releases."""

import pytest
from support.protos import Toy

from athanor.contract.evolution.packages import major_of, next_package, package_of
from athanor.errors import ContractError


def test_a_contract_knows_its_package() -> None:
    assert package_of(Toy().read().wire) == "toy.v1"


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
