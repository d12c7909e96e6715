"""Libraries of each binary and their size keep its budget; .ci/run compares the whole binaries."""

from __future__ import annotations

import dataclasses
import re
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from binaries.budgets import FILE, problems, read
from binaries.pex_file import PexFile

_LIBRARIES = Path("libraries")

BUDGETS = read(FILE.read_text())

# What of Ray's extra `serve` no binary carries: see 3rdparty/python/BUILD.
LEFT_OUT = {"py-spy", "virtualenv"}

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the lists are for Linux; other systems get other wheels"
)


def binary(name: str) -> PexFile:
    """A binary without its code."""
    return PexFile(_LIBRARIES / f"{name}.pex")


@pytest.mark.parametrize("name", BUDGETS)
def test_the_binary_keeps_its_budget(name: str) -> None:
    assert list(problems(binary(name), BUDGETS[name])) == []


def test_every_binary_has_a_budget() -> None:
    assert set(BUDGETS) == {path.stem for path in _LIBRARIES.iterdir()}


def test_a_binary_holds_its_libraries_and_little_else() -> None:
    whole = PexFile(Path("client.pex"))
    assert whole.distributions_digest == binary("client").distributions_digest
    sizes = {held.name: held.size for held in binary("client").distributions}
    assert {held.name: held.size for held in whole.distributions} == pytest.approx(sizes, rel=0.01)
    assert whole.size == pytest.approx(binary("client").size, rel=0.05)


@pytest.mark.parametrize(
    "library",
    [
        *("deltalake", "lightgbm", "mapie", "mlflow", "ndonnx", "onnx", "pandas", "pyarrow"),
        *("scikit-learn", "skl2onnx", "spox"),
    ],
)
def test_serving_does_not_carry(library: str) -> None:
    assert library not in {found.name for found in binary("serving").distributions}
    assert library in BUDGETS["serving"].without


@pytest.mark.parametrize("library", ["cryptography", "numpy", "onnxruntime", "opentelemetry-api", "pandas", "ray"])
def test_the_client_does_not_carry(library: str) -> None:
    assert library not in {found.name for found in binary("client").distributions}
    assert library in BUDGETS["client"].without


def test_the_client_carries_none_of_our_layers_but_its_own_and_no_project() -> None:
    with zipfile.ZipFile("client.pex") as archive:
        names = archive.namelist()
    ours = [name for name in names if re.match("athanor/.*/.*[.]py$", name)]
    assert {name.split("/")[1] for name in ours} == {"cli", "client", "system"}
    assert not [name for name in names if "_pb2" in name and not name.startswith(".deps/")]


def test_serving_carries_all_that_ray_serve_asks_for_but_what_is_left_out() -> None:
    held = {found.name: found for found in binary("serving").distributions}
    asked = map(Requirement, held["ray"].metadata.get_all("Requires-Dist") or [])
    serve = {"extra": "serve", "python_version": "3.11", "python_full_version": "3.11.0", "sys_platform": "linux"}
    wanted = [one for one in asked if one.marker and one.marker.evaluate(serve)]
    names = {canonicalize_name(one.name) for one in wanted}
    assert names - set(held) == LEFT_OUT
    assert len(names) > 15
    for one in wanted:
        found = held.get(canonicalize_name(one.name))
        assert found is None or one.specifier.contains(found.version)


def test_what_a_binary_holds_too_much_is_named() -> None:
    budget = BUDGETS["client"]
    fewer = {name: size for name, size in budget.distributions.items() if name != "rich"}
    (problem,) = problems(binary("client"), dataclasses.replace(budget, distributions=fewer))
    assert problem.startswith("client.pex holds rich (")
    assert problem.endswith("which is not in its list: if that is intended, run `./pants budgets`")


def test_what_a_binary_lacks_is_named() -> None:
    budget = BUDGETS["client"]
    more = {**budget.distributions, "zstandard": 1.0}
    found = list(problems(binary("client"), dataclasses.replace(budget, distributions=more)))
    assert found == [
        "client.pex no longer holds zstandard, which is in its list: if that is intended, run `./pants budgets`"
    ]


def test_what_a_binary_must_never_hold_is_named_though_it_is_in_the_list() -> None:
    budget = dataclasses.replace(BUDGETS["client"], without=("numpy", "grpcio"))
    assert list(problems(binary("client"), budget)) == [
        "client.pex holds grpcio, which it must never hold: if that is intended, change `without` of [client] in "
        "3rdparty/python/budgets.toml by hand, then run `./pants budgets`"
    ]


def test_of_a_binary_that_is_too_heavy_the_distribution_that_grew_is_named() -> None:
    budget = BUDGETS["client"]
    slimmer = {**budget.distributions, "protobuf": 0.01, "pygments": 0.5}
    (problem,) = problems(binary("client"), dataclasses.replace(budget, size_mb=13, distributions=slimmer))
    assert "MB, over the limit of 13; grown most since the list was written: pygments +0.7" in problem
    assert ", protobuf +0.3" in problem
    assert "change `size_mb` of [client] in 3rdparty/python/budgets.toml by hand" in problem
