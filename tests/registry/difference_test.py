"""What differs between two releases."""

import json
from pathlib import Path

from support.protos import Toy
from support.releases import make_files, make_release

from athanor.contract.evolution.compatibility import Level
from athanor.registry.difference import compare_releases
from athanor.release.files import GRAPH


def test_a_release_does_not_differ_from_itself(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    found = compare_releases(release, release)
    assert (found.contract, found.parts, found.libraries) == ((), {}, {})
    assert found.metrics == {"roc_auc": (0.75, 0.75)}
    assert found.is_same_graph
    assert found.gives_same_answers


def test_what_made_them_metrics_and_libraries_are_compared(tmp_path: Path) -> None:
    old = make_release(tmp_path, provenance={"libraries": {"numpy": "2.0.0", "onnx": "1.0", "same": "1"}})
    new = make_release(
        tmp_path,
        algorithm="other",
        features="f" * 64,
        snapshot="6" * 64,
        parameters={"middle": 900.0, "width": None, "depth": 3},
        calibration={"slope": 1.5, "intercept": 0.5},
        metrics={"roc_auc": 0.875, "log_loss": 0.5},
        provenance={"libraries": {"numpy": "2.1.0", "ray": "2.60", "same": "1"}},
    )
    found = compare_releases(old, new)
    assert found.parts == {
        "features": (old.identity.features, "f" * 64),
        "algorithm": ("by distance", "other"),
        "calibration": ("", "slope=1.5 intercept=0.5"),
        "snapshot": ("5" * 64, "6" * 64),
        "parameter middle": ("1000.0", "900.0"),
        "parameter depth": ("", "3"),
    }
    assert found.metrics == {"roc_auc": (0.75, 0.875), "log_loss": (None, 0.5)}
    assert found.libraries == {"numpy": ("2.0.0", "2.1.0"), "onnx": ("1.0", ""), "ray": ("", "2.60")}


def test_the_same_graph_gives_the_same_answers(tmp_path: Path) -> None:
    """As a training with new reference rows, another recipe or other metrics may make them."""
    first = make_release(tmp_path)
    again = make_release(tmp_path, recipe="e" * 64, metrics={"roc_auc": 0.5})
    other_graph = make_release(tmp_path, make_files(900.0))
    found = [compare_releases(first, each) for each in (again, other_graph)]
    assert [each.is_same_graph for each in found] == [True, False]
    assert [each.gives_same_answers for each in found] == [True, False]
    assert found[1].graph == (first.identity.files[GRAPH], other_graph.identity.files[GRAPH])


def test_changes_of_the_contract_have_their_level(tmp_path: Path) -> None:
    def release(toy: Toy) -> bytes:
        return json.dumps(toy.read().wire).encode()

    before, after = Toy(), Toy()
    after.column("amount").maximum = 10
    after.column("count").may_be_missing = False
    after.column("count").ClearField("missing_budget")
    found = compare_releases(
        make_release(tmp_path, make_files(contract=release(before))),
        make_release(tmp_path, make_files(contract=release(after))),
    )
    levels = {change.subject: change.level for change in found.contract if "budget" not in change.what}
    assert levels == {"column count": Level.BREAKING, "column amount": Level.COMPATIBLE}
    assert found.contract[0].level is Level.BREAKING
