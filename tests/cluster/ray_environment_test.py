"""What Ray reads before it starts."""

import os
from pathlib import Path

import pytest

from athanor.cluster import ray_environment
from athanor.cluster.ray_environment import ServePorts


def test_ray_is_kept_on_loopback_where_its_address_is_one(tmp_path: Path) -> None:
    kept = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    assert kept.items() <= ray_environment.local_ray(tmp_path).items()
    for make in (ray_environment.driver, ray_environment.node):
        assert kept.items() <= make("127.0.0.1", tmp_path).items()
        assert kept.items() <= make("::1", tmp_path).items()
        assert not kept.keys() & make("10.0.0.1", tmp_path).keys()


def test_each_ray_asks_for_a_token_that_is_in_a_file(tmp_path: Path) -> None:
    asked = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path)}
    for made in (
        ray_environment.local_ray(tmp_path),
        ray_environment.driver("10.0.0.1", tmp_path),
        ray_environment.node("10.0.0.1", tmp_path),
    ):
        assert asked.items() <= made.items()


def test_a_token_in_a_variable_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_AUTH_TOKEN": "x", "KEPT": "y"})
    ray_environment.export({"RAY_AUTH_MODE": "token"})
    assert os.environ == {"RAY_AUTH_MODE": "token", "KEPT": "y"}


def test_ports_of_an_instance_do_not_overlap(tmp_path: Path) -> None:
    made = ray_environment.serve(tmp_path, ServePorts(100, 200, 300, 64), 1, 1, 1)
    ports = {name: int(value) for name, value in made.items() if name.endswith("_PORT")}
    assert sorted(ports.values()) == [100, 101, 102, 103, 200, 263, 300, 363]
    assert not any(name.endswith("_PORT") for name in ray_environment.serve(tmp_path, None, 1, 1, 1))


def test_what_an_operator_sets_for_health_checks_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_health_check_period_ms", "5")
    made = ray_environment.node("10.0.0.1", tmp_path)
    assert (made["RAY_health_check_period_ms"], made["RAY_health_check_timeout_ms"]) == ("5", "2000")
