"""Settings are checked at start; an error names each invalid setting with its value."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from athanor.errors import SettingsError
from athanor.serving.setup.settings import MAX_REPLICAS, make_settings

_RIGHT: dict[str, Any] = {"service": "delays", "store": "store", "folder": "/service"}


@pytest.mark.parametrize("service", ["delays", "delays.v2", "models", "team-a", "9"])
def test_a_service_has_a_name(service: str) -> None:
    assert make_settings(**{**_RIGHT, "service": service}).service == service


def test_settings_have_defaults() -> None:
    made = make_settings(**_RIGHT)
    assert (made.models, made.max_in_flight_by_model) == (("*",), {})
    assert (made.host, made.http_port, made.grpc_port) == ("127.0.0.1", 8000, 9000)
    assert (made.replicas, made.max_rows, made.require_signature) == (1, 10_000, None)
    assert (made.insecure, made.max_replicas, made.prediction_log) == (False, None, None)


@pytest.mark.parametrize(
    ("given", "host"),
    [("::1", "::1"), ("[::1]", "::1"), ("0:0::1", "::1"), ("0.0.0.0", "0.0.0.0"), ("localhost", "localhost")],  # noqa: S104
)
def test_a_host_is_an_address_or_a_name(given: str, host: str) -> None:
    assert make_settings(**_RIGHT, host=given).host == host


@pytest.mark.parametrize("store", ["s3://bucket/store", "memory://store", "file:///store", "/store"])
def test_a_store_is_a_path_or_a_url(store: str) -> None:
    assert make_settings(**{**_RIGHT, "store": store}).store == store


@pytest.mark.parametrize("store", ["store", Path("store")])
def test_a_path_is_the_same_in_every_working_directory(store: str | Path, tmp_path: Path) -> None:
    made = make_settings(**{**_RIGHT, "store": store}, require_signature="key.pub", prediction_log="log")
    assert made.store == str(Path.cwd() / "store")
    assert made.prediction_log == Path.cwd() / "log"
    assert made.require_signature == Path.cwd() / "key.pub"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"service": "a/b"}, "service: cannot be the name of a service; .* (given: 'a/b')"),
        ({"service": ".."}, "service: cannot be the name .*"),
        ({"service": "delays.settings"}, "service: cannot be the name .*"),
        ({"service": "ray"}, "service: cannot be the name .* not ray (given: 'ray')"),
        ({"models": []}, "models: is empty; give names of models or patterns, .* for all (given: [])"),
        ({"models": ["delays", "../x"]}, "models: '../x' is neither the name of a model nor a pattern .*"),
        ({"max_in_flight_by_model": {"delays": 0}}, "max_in_flight_by_model.delays: .* (given: 0)"),
        ({"max_in_flight_by_model": "delays"}, "max_in_flight_by_model.delays: .* (given: '')"),
        ({"http_port": 0}, "http_port: .* (given: 0)"),
        ({"http_port": 65_536}, "http_port: .* (given: 65536)"),
        ({"grpc_port": "many"}, "grpc_port: .* (given: 'many')"),
        ({"replicas": 0}, "replicas: .* (given: 0)"),
        ({"replicas": MAX_REPLICAS + 1}, "replicas: .* (given: 65)"),
        ({"replicas": 1.5}, "replicas: .* (given: 1.5)"),
        ({"max_rows": -1}, "max_rows: .* (given: -1)"),
        ({"store": None}, "store: .* (given: None)"),
        ({"store": ""}, "store: .* (given: '')"),
        ({"require_signature": 1}, "require_signature: .* (given: 1)"),
        ({"replica": 2}, "replica: is not a setting (given: 2); did you mean replicas?"),
        ({"max_replicas": 65}, "max_replicas: .* (given: 65)"),
        ({"target_utilisation": 0}, "target_utilisation: .* (given: 0)"),
        ({"target_utilisation": 1.1}, "target_utilisation: .* (given: 1.1)"),
        ({"upscale_delay_s": -1}, "upscale_delay_s: .* (given: -1)"),
        ({"max_message_bytes": 1_023}, "max_message_bytes: .* (given: 1023)"),
        ({"max_in_flight": 0}, "max_in_flight: .* (given: 0)"),
        ({"max_connections": 63}, "max_connections: .* (given: 63)"),
        ({"max_connections_per_address": 0}, "max_connections_per_address: .* (given: 0)"),
        ({"host": "::1]"}, "host: is no IP address and no host name; .* (given: '::1]')"),
        ({"host": "127.0.0.1 user root"}, "host: is no IP address .*"),
        ({"host": "127.0.0.1:8000"}, "host: is no IP address .*"),
        ({"host": "*"}, "host: is no IP address and no host name; .* 0.0.0.0 or :: for all .*"),
        ({"host": ""}, "host: is no IP address .*"),
        ({"host": "fe80::1%eth0"}, "host: has a zone, .*"),
        ({"max_deadline_s": 0}, "max_deadline_s: .* (given: 0)"),
        ({"max_deadline_s": float("nan")}, "max_deadline_s: .* (given: nan)"),
        ({"grace_period_s": -1}, "grace_period_s: .* (given: -1)"),
        ({"grace_period_s": 101}, "grace_period_s: .* (given: 101)"),
        ({"traffic_poll_s": 2.1}, "traffic_poll_s: .* (given: 2.1)"),
        ({"trace_ratio": 2}, "trace_ratio: .* (given: 2)"),
        ({"access_log_ratio": -0.1}, "access_log_ratio: .* (given: -0.1)"),
        ({"prediction_log_ratio": "some"}, "prediction_log_ratio: .* (given: 'some')"),
        ({"prediction_log": "s3://bucket/log"}, "prediction_log: is a URL; give a path on this machine"),
        ({"folder": "s3://bucket/service"}, "folder: is a URL; give a path on this machine"),
        ({"insecure": "perhaps"}, "insecure: .* (given: 'perhaps')"),
    ],
)
def test_an_invalid_setting_is_named_with_its_value(wrong: dict[str, Any], message: str) -> None:
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises(SettingsError, match=pattern):
        make_settings(**{**_RIGHT, **wrong})


def test_a_missing_required_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="service: is required; folder: is required"):
        make_settings(store="store")


def test_rest_and_grpc_need_two_ports() -> None:
    with pytest.raises(SettingsError, match=r"^http_port and grpc_port are both 9000; they must differ$"):
        make_settings(**_RIGHT, http_port=9_000)


def test_max_replicas_is_at_least_replicas() -> None:
    assert make_settings(**_RIGHT, replicas=2, max_replicas=2).max_replicas == 2
    with pytest.raises(SettingsError, match=r"^max_replicas 2 is below replicas 3$"):
        make_settings(**_RIGHT, replicas=3, max_replicas=2)


def test_all_invalid_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"http_port: .*; replicas: .*; typo: "):
        make_settings(**_RIGHT, http_port=0, replicas=0, typo=1)


def test_settings_are_immutable() -> None:
    made = make_settings(**_RIGHT)
    with pytest.raises(ValidationError, match="frozen"):
        made.replicas = 2
