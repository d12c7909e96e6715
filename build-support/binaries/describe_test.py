"""The manifest and the bill match the binary, and the manifest matches the binary's own output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from binaries.manifest import find_commit, make_manifest
from binaries.materials import find_problem, make_bill, read_pins
from binaries.pex_file import PexFile

CLIENT = PexFile(Path("client.pex"))
PINS = read_pins(Path("3rdparty/python/default.lock").read_text())


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=author", "-c", "user.email=author@example.org"]
    subprocess.run(["git", "-C", folder, *author, *arguments], check=True, capture_output=True)


def test_the_binary_prints_the_digests_of_the_manifest(tmp_path: Path) -> None:
    environment = {"PEX_ROOT": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, CLIENT.path, "--version"], env=environment, check=True, capture_output=True, text=True
    )
    found = make_manifest([CLIENT], "0" * 40, dirty=False)["binaries"]["client"]
    _, code, distributions = done.stdout.splitlines()
    assert code == f"code sha1:{found['code_sha1']}"
    assert distributions == f"distributions sha256:{found['distributions_sha256']}"
    assert (found["file"], found["size_bytes"]) == ("client.pex", CLIENT.path.stat().st_size)


def test_the_commit_and_uncommitted_changes_are_found(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.txt").write_text("one")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "--quiet", "--message=One")
    commit, dirty = find_commit(tmp_path)
    assert len(commit) == 40
    assert not dirty
    (tmp_path / "a.txt").write_text("two")
    assert find_commit(tmp_path) == (commit, True)


def test_the_bill_names_every_distribution_with_hashes_of_the_lock() -> None:
    bill = json.loads(make_bill(CLIENT, PINS))
    parts = {part["name"]: part for part in bill["components"]}
    assert set(parts) == {found.name for found in CLIENT.distributions}
    protobuf = parts["protobuf"]
    assert protobuf["purl"] == f"pkg:pypi/protobuf@{protobuf['version']}"
    assert {one["content"] for one in protobuf["hashes"]} == set(PINS["protobuf", protobuf["version"]])
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": CLIENT.sha256}]


def test_the_bill_states_licences_as_the_authors_do() -> None:
    parts = {part["name"]: part for part in json.loads(make_bill(CLIENT, PINS))["components"]}
    assert parts["rich"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert parts["grpcio"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert all(part.get("licenses") for part in parts.values())


def test_the_bill_of_a_binary_is_always_the_same() -> None:
    bill = make_bill(CLIENT, PINS)
    assert bill == make_bill(PexFile(CLIENT.path), PINS)
    assert "timestamp" not in bill


def test_a_distribution_that_the_lock_does_not_pin_is_noticed() -> None:
    pins = {pin: hashes for pin, hashes in PINS.items() if pin[0] != "grpcio"}
    with pytest.raises(ValueError, match=r"^the lock does not pin grpcio "):
        make_bill(CLIENT, pins)


def test_a_bill_that_breaks_the_schema_is_noticed() -> None:
    bill = json.loads(make_bill(CLIENT, PINS))
    assert find_problem(json.dumps(bill)) is None
    bill["components"][0]["hashes"][0]["content"] = "no hash"
    assert find_problem(json.dumps(bill)) is not None
