"""Semantic versions: what a release's number says about the one before it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.protos import Toy
from support.releases import make_release

from athanor.contract.v1 import options_pb2
from athanor.registry.versioning import FIRST, next_version
from athanor.release.files import CONTRACT, Release


def _release(folder: Path, change: Callable[[Toy], object] = lambda toy: None, **identity: Any) -> Release:
    toy = Toy()
    change(toy)
    contract = toy.read()
    files = {CONTRACT: json.dumps(contract.wire).encode()}
    return make_release(folder, files, **{"contract": contract.fingerprint, **identity})


def _require(toy: Toy) -> None:
    toy.column("count").may_be_missing = False
    toy.column("count").ClearField("missing_budget")


def _widen(toy: Toy) -> None:
    toy.column("amount").maximum = 10


def _answer_less(toy: Toy) -> None:
    toy.column("probability").maximum = 1


def _measure_label(toy: Toy) -> None:
    toy.column("won").unit = "1"


def _loosen(toy: Toy) -> None:
    toy.row.options.Extensions[options_pb2.dataset].rejected_budget = 0.5


def test_the_first_is_1_0_0(tmp_path: Path) -> None:
    assert next_version(None, _release(tmp_path)) == FIRST == "1.0.0"


@pytest.mark.parametrize(
    ("change", "identity", "version"),
    [
        # The contract changed incompatibly, whatever else changed.
        (_require, {}, "3.0.0"),
        (_require, {"features": "f" * 64, "snapshot": "f" * 64}, "3.0.0"),
        # What makes the model changed, or the contract compatibly.
        (_widen, {}, "2.4.0"),
        (_answer_less, {}, "2.4.0"),
        (_measure_label, {}, "2.4.0"),
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
    before = ("2.3.9", _release(tmp_path))
    assert next_version(before, _release(tmp_path, change, **identity)) == version


def test_a_prediction_that_callers_do_not_expect_is_a_new_major(tmp_path: Path) -> None:
    before = ("2.3.9", _release(tmp_path, _answer_less))
    assert next_version(before, _release(tmp_path)) == "3.0.0"
