"""A release, made again from its manifest as a stranger would, and asked for the rows it was evaluated on."""

import json
from typing import Any

import pytest
from prepared.place import PREPARED
from support.commands import run

from athanor.release.manifest import Identity
from athanor.release.store import ReleaseStore

_VERIFY_TIMEOUT_S = 600.0


@pytest.fixture(scope="module")
def identity() -> Identity:
    """Of the release that takes traffic."""
    store = ReleaseStore(PREPARED.store)
    return store.read("delays", store.read_traffic("delays").require_champion().digest).identity


def _ask(command: str, reference: str, **options: Any) -> dict[str, Any]:
    done = run("app", command, reference, "--home", PREPARED.path, "--json", **options)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_it_is_made_again_to_the_bit(identity: Identity) -> None:
    found = _ask("verify", identity.digest[:12], timeout_s=_VERIFY_TIMEOUT_S)
    assert found["is_same"] is True
    assert found["digest_now"] == identity.digest
    assert found["largest_difference"] == 0
    # The lock is no part of a release's identity, and the sandbox that makes the home holds none.
    assert {part["name"] for part in found["parts"] if part["then"] != part["now"]} <= {"lock"}


def test_it_is_as_good_as_its_manifest_says(identity: Identity) -> None:
    found = _ask("evaluate", "delays")
    assert {name: of["value"] for name, of in found["metrics"].items()} == identity.metrics
    assert all(of["low"] < of["value"] < of["high"] for of in found["metrics"].values())
    assert {row["slice"] for row in found["slices"]} == {"carrier", "origin", "month"}


@pytest.mark.parametrize("reference", ["0123456", "a", "weather", "delays/9.9.9"])
def test_a_release_that_is_not_there_is_named(reference: str) -> None:
    done = run("app", "evaluate", reference, "--home", PREPARED.path)
    assert done.returncode == 2
    assert "NOT_FOUND" in done.stderr
