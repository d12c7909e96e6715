"""A cluster that runs already makes what this machine makes, and asks for its token."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import commands
from support.processes import nothing_survives
from support.ray_heads import RayHead, run_ray_head
from support.traps import find_sprung, set_traps

from athanor.serving.setup.ports import find_free_ports


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with nothing_survives(), run_ray_head() as found:
        yield found


def _identity(home: Path, *arguments: object) -> str:
    """Trains in a process of its own, and returns the identity of what it made."""
    home.mkdir()
    traps = set_traps(home / "traps")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "support.repeated_training", str(home), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=commands.environment(),
        cwd=traps,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert find_sprung(traps) == []
    return done.stdout.strip().splitlines()[-1]


def _train(home: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return commands.run("training", "train", "delays", "--home", home, "--engine", "ray", *arguments)


def test_a_cluster_gives_the_same_result_as_this_machine(tmp_path: Path, head: RayHead) -> None:
    by_cluster = _identity(tmp_path / "cluster", "ray", 2, head.address, head.token)
    assert by_cluster == _identity(tmp_path / "local", "local", 2)
    assert not list((tmp_path / "cluster").glob(".cluster-*")), "a mark was left in the home"


@pytest.mark.parametrize("command", [("training", "train"), ("data", "build")])
def test_a_wrong_token_is_refused_with_its_file(tmp_path: Path, head: RayHead, command: tuple[str, str]) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("not-the-token-of-this-cluster-at-all")
    app, name = command
    cluster = ("--engine", "ray", "--address", head.address, "--ray-token-file", wrong)
    done = commands.run(app, name, "delays", "--home", tmp_path / "home", *cluster)
    assert done.returncode == 2, done.stderr
    # A terminal of another width breaks lines elsewhere.
    assert f"refuses the token in {wrong}" in " ".join(done.stderr.split())


def test_without_a_token_no_cluster_is_asked(tmp_path: Path, head: RayHead) -> None:
    done = _train(tmp_path, "--address", head.address)
    assert done.returncode == 2, done.stderr
    assert "--ray-token-file" in done.stderr


def test_a_head_that_does_not_listen_is_reported_at_once(tmp_path: Path, head: RayHead) -> None:
    nowhere = f"127.0.0.1:{find_free_ports(1)}"
    done = _train(tmp_path, "--address", nowhere, "--ray-token-file", head.token)
    assert done.returncode == 1, done.stderr
    assert f"no Ray head listens at {nowhere}" in " ".join(done.stderr.split())


@pytest.mark.parametrize("address", ["127.0.0.1", ":6379", "127.0.0.1:0", "127.0.0.1:many", "127.0.0.1:65536"])
def test_what_is_not_an_address_is_refused(tmp_path: Path, head: RayHead, address: str) -> None:
    done = _train(tmp_path, "--address", address, "--ray-token-file", head.token)
    assert done.returncode == 2, done.stderr
    assert "is not the address of a Ray head" in " ".join(done.stderr.split())


def test_a_cluster_without_our_code_is_refused(tmp_path: Path) -> None:
    """Its node is plain Ray: it has the libraries, and nothing of ours."""
    with nothing_survives(), run_ray_head(variables={"PYTHONPATH": ""}) as stranger:
        done = _train(tmp_path, "--address", stranger.address, "--ray-token-file", stranger.token)
    assert done.returncode == 1, done.stderr
    message = " ".join(done.stderr.split())
    assert "cannot compute what this program would: 127.0.0.1" in message
    assert "start them from the same binary" in message


def test_a_cluster_without_processors_is_refused(tmp_path: Path) -> None:
    with nothing_survives(), run_ray_head(cpus=0) as idle:
        done = _train(tmp_path, "--address", idle.address, "--ray-token-file", idle.token)
    assert done.returncode == 1, done.stderr
    assert "offers no processors" in " ".join(done.stderr.split())
