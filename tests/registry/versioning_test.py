"""Semantic versions: what a release's number says about the one before it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.protos import Toy, make_field
from support.releases import make_release

from athanor.contract.evolution.compatibility import require_compatible
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError, GateError
from athanor.registry.versioning import next_version, read_major
from athanor.release.files import CONTRACT, Release


def _release(
    folder: Path, change: Callable[[Toy], object] = lambda toy: None, package: str = "toy.v1", **identity: Any
) -> Release:
    toy = Toy()
    change(toy)
    contract = toy.read()
    files = {CONTRACT: json.dumps(contract.wire).replace("toy.v1", package).encode()}
    return make_release(folder, files, **{"model": "toy", "contract": contract.fingerprint, **identity})


def _compare(before: Release, release: Release) -> None:
    require_compatible(before.json(CONTRACT), release.json(CONTRACT), "toy 1.3.9", "the new one")


def _require(toy: Toy) -> None:
    toy.column("count").may_be_missing = False
    toy.column("count").ClearField("missing_budget")


def _widen(toy: Toy) -> None:
    toy.column("amount").maximum = 10


def _require_and_widen(toy: Toy) -> None:
    _require(toy)
    _widen(toy)


def _answer_less(toy: Toy) -> None:
    toy.column("probability").maximum = 1


def _add_outcome(toy: Toy) -> None:
    toy.outcome.field.append(make_field("points", 2, "int32", description="How clearly", may_be_missing=True))


def _loosen(toy: Toy) -> None:
    toy.row.options.Extensions[options_pb2.dataset].rejected_budget = 0.5


@pytest.mark.parametrize(("package", "major"), [("toy.v1", 1), ("toy.v2", 2), ("toy.v12", 12)])
def test_the_major_is_the_number_of_the_package(tmp_path: Path, package: str, major: int) -> None:
    assert read_major(_release(tmp_path, package=package)) == major


@pytest.mark.parametrize("package", ["toy", "toy.v1beta1"])
def test_a_package_without_a_number_is_refused(tmp_path: Path, package: str) -> None:
    with pytest.raises(ContractError, match=f"proto package '{package}' has no major version"):
        read_major(_release(tmp_path, package=package))


@pytest.mark.parametrize(
    ("change", "identity", "version"),
    [
        # What makes the model changed, or the contract compatibly.
        (_widen, {}, "2.4.0"),
        (_answer_less, {}, "2.4.0"),
        (_add_outcome, {}, "2.4.0"),
        (Toy.read, {"features": "f" * 64}, "2.4.0"),
        (Toy.read, {"recipe": "f" * 64}, "2.4.0"),
        (Toy.read, {"algorithm": "other"}, "2.4.0"),
        (Toy.read, {"algorithm": "other", "snapshot": "f" * 64}, "2.4.0"),
        # An alarm is no part of the wire.
        (_loosen, {}, "2.3.10"),
        # The same recipe saw new data.
        (Toy.read, {"snapshot": "f" * 64}, "2.3.10"),
        (Toy.read, {"snapshot": "f" * 64, "parameters": {"C": 1}, "metrics": {"roc_auc": 0.1}}, "2.3.10"),
    ],
)
def test_the_largest_change_says_which_number_grows(
    tmp_path: Path, change: Callable[[Toy], object], identity: dict[str, Any], version: str
) -> None:
    assert next_version("2.3.9", _release(tmp_path), _release(tmp_path, change, **identity)) == version


@pytest.mark.parametrize("identity", [{}, {"features": "f" * 64, "snapshot": "f" * 64}])
def test_a_breaking_contract_is_refused_whatever_else_changed(tmp_path: Path, identity: dict[str, Any]) -> None:
    with pytest.raises(GateError) as error:
        _compare(_release(tmp_path), _release(tmp_path, _require_and_widen, **identity))
    assert str(error.value).splitlines() == [
        "the new one breaks callers or stored rows of toy 1.3.9, which has the same proto package toy.v1, by 1 change:",
        "  - column count was optional and became required; keep it optional",
        "Follow each remedy and train again, or declare the contract as toy.v2",
    ]


def test_every_breaking_change_is_named(tmp_path: Path) -> None:
    def change(toy: Toy) -> None:
        _require(toy)
        toy.column("won").unit = "1"

    with pytest.raises(
        GateError, match=r"by 2 changes:\n  - column count .*\n  - column won changed its unit .*\nFollow"
    ):
        _compare(_release(tmp_path), _release(tmp_path, change))


def test_a_prediction_that_callers_do_not_expect_is_refused(tmp_path: Path) -> None:
    before = _release(tmp_path, _answer_less)
    with pytest.raises(GateError, match="probability changed its maximum from 1 to none; keep the range, or narrow it"):
        _compare(before, _release(tmp_path))
    _compare(_release(tmp_path), before)
