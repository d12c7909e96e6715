"""The files in docker/ keep their rules, and each rule can be broken."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from images.rules import compose_problems, dashboard_problems, image_problems, is_pinned

from athanor.cli import app
from athanor.cli.serving import app as serving
from athanor.version import VERSION

_DOCKER = Path("docker")
if not _DOCKER.is_dir():
    _DOCKER = Path(__file__).parents[2] / "docker"
_DOCKERFILE = (_DOCKER / "Dockerfile").read_text()
_COMPOSE: dict[str, Any] = yaml.safe_load((_DOCKER / "compose.yaml").read_text())
_SOURCES = frozenset(
    source["uid"]
    for source in yaml.safe_load((_DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
)
_DASHBOARDS = sorted((_DOCKER / "grafana/dashboards").glob("*.json"))


def _commands() -> frozenset[str]:
    groups = [typer.main.get_command(found) for found in (serving.app, app.app)]
    return frozenset(name for group in groups for name in group.commands)  # type: ignore[attr-defined]


def _compose() -> dict[str, Any]:
    # A fresh copy for each test that breaks it, without YAML's shared nodes.
    found: dict[str, Any] = json.loads(json.dumps(_COMPOSE))
    for service in found["services"].values():
        service["image"] = service["image"].rstrip("}").partition(":-")[2]
    return found


def test_images_keep_the_rules() -> None:
    assert list(image_problems(_DOCKERFILE)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("USER 10001:10001", "USER root", "root"),
        ("HEALTHCHECK", "# ", "health check"),
        ("@sha256:", ":latest-", "not pinned"),
        ("WORKDIR", "RUN cat <<EOF\nEOF\nWORKDIR", "here-document"),
    ],
)
def test_an_image_that_breaks_a_rule_is_told(old: str, new: str, problem: str) -> None:
    assert [found for found in image_problems(_DOCKERFILE.replace(old, new)) if problem in found]


def test_images_have_the_version_of_the_package() -> None:
    assert f'"image_tags": ["{VERSION}"]' in (_DOCKER / "BUILD").read_text()
    assert (_DOCKER / "BUILD").read_text().count(f"VERSION={VERSION}") == 5


def test_the_cluster_is_consistent() -> None:
    assert list(compose_problems(_compose(), _commands())) == []


@pytest.mark.parametrize(
    ("service", "key", "value", "problem"),
    [
        ("grafana", "image", "grafana/grafana:latest", "not pinned"),
        ("head", "read_only", False, "may write"),
        ("head", "command", ["nodes", "--head"], "no command"),
        ("deploy", "pid", None, "not beside the head"),
        ("registry", "depends_on", {"mysql": {}}, "no service"),
        ("prometheus", "volumes", ["home:/home/athanor/.athanor:ro"], "may read the whole home"),
        ("registry", "volumes", ["home:/home/athanor/.athanor"], "may read the whole home"),
        ("postgres", "ports", ["5432:5432"], "open to other machines"),
        ("postgres", "ports", ["127.0.0.1:9090:9090"], "one port"),
    ],
)
def test_an_inconsistent_cluster_is_told(service: str, key: str, value: Any, problem: str) -> None:
    compose = _compose()
    compose["services"][service][key] = value
    assert [found for found in compose_problems(compose, _commands()) if problem in found]


@pytest.mark.parametrize("path", _DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_show_series_that_exist(path: Path) -> None:
    assert list(dashboard_problems(json.loads(path.read_text()), _SOURCES)) == []


def test_all_that_was_asked_for_is_shown() -> None:
    assert [path.stem for path in _DASHBOARDS] == ["drift", "requests", "versions"]


@pytest.mark.parametrize(("old", "new"), [("athanor_replicas", "athanor_replica_count"), ('"prometheus"}', '"loki"}')])
def test_a_dashboard_of_what_does_not_exist_is_told(old: str, new: str) -> None:
    text = json.dumps(json.loads((_DOCKER / "grafana/dashboards/requests.json").read_text()))
    assert list(dashboard_problems(json.loads(text.replace(old, new)), _SOURCES))


def test_a_tag_is_not_a_pin() -> None:
    assert not is_pinned("python:3.11-slim")
    assert is_pinned("python@sha256:" + "0" * 64)


def test_prometheus_reads_metrics_with_a_token_for_nothing_else() -> None:
    services = _compose()["services"]
    *_, scope, option, kept = services["metrics-token"]["command"]
    assert (scope, option) == ("metrics", "--file")
    (made,) = [volume for volume in services["metrics-token"]["volumes"] if volume.startswith("tokens:")]
    (read,) = [volume for volume in services["prometheus"]["volumes"] if volume.startswith("tokens:")]
    _, folder, mode = read.split(":")
    assert mode == "ro"
    scraped = yaml.safe_load((_DOCKER / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    assert scraped["authorization"]["credentials_file"] == kept.replace(made.split(":")[1], folder)
