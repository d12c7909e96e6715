"""The manifest for KubeRay carries the settings in fields that the operator knows, and names our application."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from ray._common.utils import import_attr
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve.schema import ServeDeploySchema

from athanor.cluster import ray_environment
from athanor.errors import SettingsError
from athanor.serving.hosting import pod
from athanor.serving.hosting.kuberay import Pods, build, make_manifest, to_yaml
from athanor.serving.setup.settings import ServingSettings, make_settings, read_settings_file

_FOLDER: Final = Path("docker/kuberay")
_PODS: Final = Pods(image="athanor-serving:0.1.0")
_FIXED: Final = {"service": "models", "folder": "/var/lib/athanor/service"}
# Another value of each setting.
_OTHERS: Final[dict[str, Any]] = {
    "service": "taxi",
    "models": ["taxi"],
    "store": "s3://bucket/store",
    "folder": "/srv/service",
    "host": "10.0.0.1",
    "http_port": 8080,
    "grpc_port": 9090,
    "insecure": True,
    "require_signature": "/etc/athanor/key.pub",
    "replicas": 3,
    "max_replicas": 9,
    "target_utilisation": 0.5,
    "upscale_delay_s": 1.0,
    "downscale_delay_s": 2.0,
    "max_rows": 7,
    "max_message_bytes": 2048,
    "max_in_flight": 512,
    "max_in_flight_by_model": {"taxi": 64},
    "max_deadline_s": 5.0,
    "max_connections": 512,
    "max_connections_per_address": 256,
    "grace_period_s": 12.0,
    "traffic_poll_s": 1.0,
    "trace_ratio": 0.5,
    "access_log_ratio": 0.5,
    "prediction_log": "/srv/predictions",
    "prediction_log_ratio": 0.5,
}


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Template(_Closed):
    spec: dict[str, Any]


class _Auth(_Closed):
    mode: Literal["token"]
    secretName: str


class _Head(_Closed):
    rayStartParams: dict[str, str]
    template: _Template


class _Workers(_Head):
    groupName: str
    replicas: int
    minReplicas: int
    maxReplicas: int


class _Cluster(_Closed):
    rayVersion: str
    authOptions: _Auth
    enableInTreeAutoscaling: bool
    headGroupSpec: _Head
    workerGroupSpecs: list[_Workers]


class _Spec(_Closed):
    excludeHeadPodFromServeSvc: bool
    serveConfigV2: str
    rayClusterConfig: _Cluster


class _RayService(_Closed):
    """The fields of KubeRay's ray.io/v1 as of 1.6 that we use, by its reference of the API."""

    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayService"]
    metadata: dict[str, Any]
    spec: _Spec


def _settings(**changed: object) -> ServingSettings:
    return make_settings(**{**_FIXED, **read_settings_file(_FOLDER / "settings.toml"), **changed})


def _serve_config(settings: ServingSettings) -> Any:
    return yaml.safe_load(make_manifest(settings, _PODS)["spec"]["serveConfigV2"])


def _containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = manifest["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


def test_the_file_is_made_from_its_settings() -> None:
    assert (_FOLDER / "rayservice.yaml").read_text() == to_yaml(_settings(), _PODS)


def test_the_operator_knows_every_field() -> None:
    manifest = yaml.safe_load(to_yaml(_settings(), _PODS))
    _RayService.model_validate(manifest)
    ServeDeploySchema.model_validate(_serve_config(_settings()))


def test_a_field_unknown_to_the_operator_is_noticed() -> None:
    manifest = make_manifest(_settings(), _PODS)
    manifest["spec"]["serveConfig"] = ""
    with pytest.raises(ValidationError, match="serveConfig"):
        _RayService.model_validate(manifest)


def test_the_application_is_built_as_serve_builds_it() -> None:
    settings = _settings()
    application = _serve_config(settings)["applications"][0]
    builder: Any = import_attr(application["import_path"])
    built = call_user_app_builder_with_args_if_necessary(builder, application["args"])
    assert builder is build
    deployment = built._bound_deployment
    assert deployment.name == application["deployments"][0]["name"] == settings.service
    each = deployment.init_args[0]
    assert each == settings.model_copy(update={"replicas": 1, "max_replicas": None})


def test_an_argument_that_is_not_a_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"replica: .*did you mean replicas"):
        build({**_FIXED, "store": "/store", "replica": 2})


def test_every_setting_has_another_value_here() -> None:
    assert _OTHERS.keys() == ServingSettings.model_fields.keys()


@pytest.mark.parametrize("name", sorted(_OTHERS))
def test_every_setting_is_in_the_manifest(name: str) -> None:
    """As an argument of the application, and thereby of every replica."""
    changed = _settings(**{name: _OTHERS[name]})
    arguments = _serve_config(changed)["applications"][0]["args"]
    assert arguments[name] == _OTHERS[name]
    assert make_manifest(changed, _PODS) != make_manifest(_settings(), _PODS)


def test_doors_and_probes_follow_the_ports() -> None:
    settings = _settings(http_port=8080, grpc_port=9090, max_connections=512, max_deadline_s=5)
    worker = _containers(make_manifest(settings, _PODS))[1]
    assert [port["containerPort"] for port in worker["ports"]] == [8080, 9090]
    assert worker["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8080}
    assert worker["args"] == ["0.0.0.0", "8080", "9090", "512", "1024", "5.0", "True"]  # noqa: S104 - what the pod binds
    config = _serve_config(settings)
    assert (config["http_options"]["port"], config["grpc_options"]["port"]) == (8080, 9090)


@pytest.mark.parametrize(("replicas", "most", "scales"), [(2, None, False), (2, 2, False), (2, 8, True)])
def test_there_is_one_worker_for_each_replica(replicas: int, most: int | None, scales: bool) -> None:
    settings = _settings(replicas=replicas, max_replicas=most)
    cluster = make_manifest(settings, _PODS)["spec"]["rayClusterConfig"]
    group = cluster["workerGroupSpecs"][0]
    assert (group["minReplicas"], group["replicas"], group["maxReplicas"]) == (replicas, replicas, most or replicas)
    assert cluster["enableInTreeAutoscaling"] is scales
    deployment = _serve_config(settings)["applications"][0]["deployments"][0]
    assert ("autoscaling_config" in deployment, "num_replicas" in deployment) == (scales, not scales)


def test_serve_reads_in_a_pod_what_it_reads_on_one_machine(tmp_path: Path) -> None:
    ports = ray_environment.ServePorts(1, 100, 200, 64)
    machine = ray_environment.serve(tmp_path, ports, 16 * 1024 * 1024, 512, 4)
    # A pod shares neither ports nor processors with another service.
    own = ("_PORT", "NBTHREAD")
    alike = {name: value for name, value in machine.items() if str(tmp_path) not in value and not name.endswith(own)}
    for container in _containers(make_manifest(_settings(max_in_flight=512), _PODS)):
        variables = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert alike["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
        assert alike.items() <= variables.items()
        assert machine.keys() - {name for name in machine if name.endswith("_PORT")} <= variables.keys()
        # The image knows its modules, and the operator makes the token.
        assert not variables.keys() & {"PYTHONPATH", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"}


def test_the_manifest_holds_no_secret_and_grants_no_needless_right() -> None:
    manifest = make_manifest(_settings(), _PODS)
    for container in _containers(manifest):
        assert not any("TOKEN" in variable["name"] for variable in container["env"])
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
    assert manifest["spec"]["rayClusterConfig"]["authOptions"]["secretName"] == "models-ray-token"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_doors_that_no_other_pod_reaches_are_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="is not reached from other pods"):
        make_manifest(_settings(host=host), _PODS)


@pytest.mark.parametrize("host", ["::", "::1", "fd00::1"])
def test_doors_of_ipv6_are_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=f"need an IPv4 address, not {host}; give --host"):
        make_manifest(_settings(host=host), _PODS)


def test_a_pod_runs_what_the_operator_asks_for() -> None:
    command = pod.ray_command("ray start --head  --dashboard-host=0.0.0.0  --block ")
    assert command == [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", *command[5:]]
    assert command[5:] == ["--dashboard-host=0.0.0.0", "--block"]


@pytest.mark.parametrize("command", ["", "rm -rf /", "ray stop"])
def test_a_pod_runs_nothing_else(command: str) -> None:
    with pytest.raises(SettingsError, match="overwrite-container-cmd"):
        pod.ray_command(command)


def test_the_command_writes_the_same(tmp_path: Path) -> None:
    output = tmp_path / "made.yaml"
    settings = ("--settings", str(_FOLDER / "settings.toml"), "--home", "/var/lib/athanor")
    command = ["kuberay", *settings, "--image", _PODS.image, "--output", str(output)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-m", "athanor.cli.serving.app", *command],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert output.read_text() == (_FOLDER / "rayservice.yaml").read_text()


@pytest.mark.parametrize(
    ("service", "name"), [("flight_delay", "flight-delay"), ("delays.v2", "delays-v2"), ("models", "models")]
)
def test_objects_are_named_as_the_service(service: str, name: str) -> None:
    settings = _settings(service=service)
    manifest = make_manifest(settings, _PODS)
    assert manifest["metadata"]["name"] == name
    assert manifest["spec"]["rayClusterConfig"]["authOptions"]["secretName"] == f"{name}-ray-token"
    assert f"{name}-tokens" in to_yaml(settings, _PODS)
    assert f"{service}.tokens.json" in to_yaml(settings, _PODS)


@pytest.mark.parametrize("service", ["Models", "9", "models_"])
def test_a_name_that_objects_cannot_have_is_refused(service: str) -> None:
    with pytest.raises(SettingsError, match=rf"cannot be named as the service {service}; give a --name"):
        make_manifest(_settings(service=service), _PODS)


@pytest.mark.parametrize("grace_s", [0.0, 30.0, 99.5])
def test_a_pod_has_time_to_answer_what_it_has_accepted(grace_s: float) -> None:
    manifest = make_manifest(_settings(grace_period_s=grace_s), _PODS)
    cluster = manifest["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod_spec = group["template"]["spec"]
        variables = {variable["name"]: variable.get("value") for variable in pod_spec["containers"][0]["env"]}
        drain_s = float(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        assert grace_s < drain_s < pod_spec["terminationGracePeriodSeconds"]
