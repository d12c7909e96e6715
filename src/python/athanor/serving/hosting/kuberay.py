"""The manifest of a service on Kubernetes: a `RayService` of the KubeRay operator, made from the service's settings.

Each pod is a Ray node that runs one binary's image. The head holds no replica; each worker holds one, and a door. The
operator asks the head's dashboard for the application that `build` makes.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

import yaml
from ray.serve import Application

from athanor.cluster import ray_environment
from athanor.errors import SettingsError
from athanor.serving.hosting import pod
from athanor.serving.hosting.application import GRPC_SERVICES, limit_doors
from athanor.serving.replica.autoscaling import autoscaling_config
from athanor.serving.replica.deployment import bind
from athanor.serving.setup.paths import NODE_VARIABLE
from athanor.serving.setup.settings import CLOSING_S, ServingSettings, make_settings
from athanor.system.url_secrets import mask_url

TOKEN_KEY: Final = "auth_token"  # noqa: S105 - what KubeRay calls it
IMPORT_PATH: Final = f"{__name__}:build"

# A label by RFC 1035, as services have it.
_OBJECT_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_USER: Final = 10_001
_GCS_PORT: Final = 6379
_NODE_PORT: Final = 6380
_POD_IP: Final = {"fieldRef": {"fieldPath": "status.podIP"}}
# The start of a replica on another node, and the end of Ray's own processes.
_START_S: Final = 25.0
_TERMINATION_S: Final = 10


@dataclass(frozen=True)
class Pods:
    """What Kubernetes needs for a service, beside the service's settings.

    Attributes:
        image: of the component `serving`; by digest for real use.
        cpu, memory: of each pod; memory as Kubernetes writes quantities.
    """

    image: str
    cpu: int = 1
    memory: str = "2Gi"


def build(args: dict[str, Any]) -> Application:
    """Makes the Serve application for the operator, from settings by name.

    Raises:
        SettingsError: a setting is unknown or out of its range.
    """
    application: Application = bind(make_settings(**args))
    return application


def to_yaml(settings: ServingSettings, pods: Pods) -> str:
    """The manifest as a file. Raises as `make_manifest` does."""
    return _dump(make_manifest(settings, pods))


def make_manifest(settings: ServingSettings, pods: Pods) -> dict[str, Any]:
    """Makes the manifest of a service.

    Raises:
        SettingsError: other pods could not reach the doors, the URL of the store has secrets, or objects of Kubernetes
            cannot be named as the service.
    """
    if mask_url(settings.store) != settings.store:
        raise SettingsError(
            f"the manifest would show the secrets in {mask_url(settings.store)}; give the pods credentials of their own"
        )
    if settings.host.startswith("127.") or settings.host == "localhost":
        raise SettingsError(f"host {settings.host} is not reached from other pods; give --host 0.0.0.0")
    if ":" in settings.host:
        raise SettingsError(f"the doors of pods need an IPv4 address, not {settings.host}; give --host 0.0.0.0")
    name = _name_objects(settings.service)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "athanor"},
            # The operator then passes its own command in a variable, which `pod` runs.
            "annotations": {"ray.io/overwrite-container-cmd": "true"},
        },
        "spec": {
            # A head without a replica has no door that answers.
            "excludeHeadPodFromServeSvc": True,
            "serveConfigV2": _dump(_serve_config(settings)),
            "rayClusterConfig": _cluster(settings, pods, name),
        },
    }


def _name_objects(service: str) -> str:
    name = service.replace("_", "-").replace(".", "-")
    if not _OBJECT_NAME.fullmatch(name):
        raise SettingsError(
            f"objects of Kubernetes cannot be named as the service {service}; give a --name of lower-case letters,"
            " digits, _ and -, first a letter and last a letter or digit"
        )
    return name


def _serve_config(settings: ServingSettings) -> dict[str, Any]:
    scaling = autoscaling_config(settings)
    number: dict[str, Any] = {"autoscaling_config": scaling} if scaling else {"num_replicas": settings.replicas}
    deployment = {
        "name": settings.service,
        **number,
        # One a worker, that Ray's autoscaler can count.
        "max_replicas_per_node": 1,
        "ray_actor_options": {"num_cpus": 1},
    }
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": settings.host, "port": settings.http_port},
        "grpc_options": {
            "port": settings.grpc_port,
            "grpc_servicer_functions": [GRPC_SERVICES],
            "enable_reflection": False,
        },
        "logging_config": {"enable_access_log": False, "log_level": "WARNING"},
        "applications": [
            {
                "name": settings.service,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": _to_arguments(settings),
                "deployments": [deployment],
            }
        ],
    }


def _to_arguments(settings: ServingSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = json.loads(settings.model_dump_json(exclude_none=True))
    return arguments


def _cluster(settings: ServingSettings, pods: Pods, name: str) -> dict[str, Any]:
    most = settings.max_replicas or settings.replicas
    head = _pod(settings, pods, "ray-head", name)
    worker = _pod(settings, pods, "ray-worker", name)
    return {
        "rayVersion": metadata.version("ray"),
        # The operator makes RAY_AUTH_MODE and RAY_AUTH_TOKEN of it in every container of Ray.
        "authOptions": {"mode": "token", "secretName": f"{name}-ray-token"},
        "enableInTreeAutoscaling": most > settings.replicas,
        "headGroupSpec": {
            # Nothing is placed there: Serve's controller, the dashboard and the directory of nodes are enough.
            "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0", "port": str(_GCS_PORT)},  # noqa: S104
            "template": head,
        },
        "workerGroupSpecs": [
            {
                "groupName": "replicas",
                "replicas": settings.replicas,
                "minReplicas": settings.replicas,
                "maxReplicas": most,
                "rayStartParams": {"num-cpus": str(pods.cpu), "node-manager-port": str(_NODE_PORT)},
                "template": worker,
            }
        ],
    }


def _pod(settings: ServingSettings, pods: Pods, container: str, name: str) -> dict[str, Any]:
    is_head = container == "ray-head"
    resources = {"cpu": str(pods.cpu), "memory": pods.memory}
    volumes = _volumes(settings, name)
    return {
        "spec": {
            "terminationGracePeriodSeconds": math.ceil(_drain_s(settings)) + _TERMINATION_S,
            "automountServiceAccountToken": is_head and (settings.max_replicas or 0) > settings.replicas,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": container,
                    "image": pods.image,
                    "command": ["/app/bin/python", "-m", pod.__name__],
                    "args": _arguments(settings),
                    "env": _environment(settings, pods),
                    "ports": _head_ports() if is_head else _door_ports(settings),
                    **(_head_probes() if is_head else _worker_probes(settings)),
                    "resources": {"requests": resources, "limits": resources},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [mount for mount, _ in volumes],
                }
            ],
            "volumes": [volume for _, volume in volumes],
        }
    }


def _arguments(settings: ServingSettings) -> list[str]:
    """What `pod` takes."""
    ports, limits = (settings.http_port, settings.grpc_port), limit_doors(settings)
    bounds = (limits.connections, limits.connections_per_address, limits.answer_s, limits.requires_token)
    return [settings.host, *map(str, (*ports, *bounds))]


def _head_ports() -> list[dict[str, Any]]:
    return [{"name": "gcs-server", "containerPort": _GCS_PORT}, {"name": "dashboard", "containerPort": 8265}]


def _door_ports(settings: ServingSettings) -> list[dict[str, Any]]:
    return [
        {"name": "serve", "containerPort": settings.http_port},
        {"name": "grpc", "containerPort": settings.grpc_port},
    ]


def _head_probes() -> dict[str, Any]:
    """The head's door opens when the application is deployed, for which the operator waits until the head is ready."""
    probe = {"tcpSocket": {"port": _GCS_PORT}, "periodSeconds": 5}
    return {"readinessProbe": probe, "livenessProbe": {**probe, "initialDelaySeconds": 30, "failureThreshold": 12}}


def _worker_probes(settings: ServingSettings) -> dict[str, Any]:
    """A worker lives while its Ray node does; it is ready when its door leads to a model."""
    ready = {"httpGet": {"path": "/readyz", "port": settings.http_port}, "periodSeconds": 2, "timeoutSeconds": 2}
    live = {"tcpSocket": {"port": _NODE_PORT}, "periodSeconds": 5, "initialDelaySeconds": 30, "failureThreshold": 12}
    return {"readinessProbe": ready, "livenessProbe": live}


def _drain_s(settings: ServingSettings) -> float:
    """How long a pod that is deleted may take to answer what it has accepted, and to be replaced."""
    return settings.grace_period_s + CLOSING_S + _START_S


def _volumes(settings: ServingSettings, name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each volume's mount, and the volume."""
    folder = str(settings.folder)
    found: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"name": "scratch", "mountPath": "/tmp"}, {"name": "scratch", "emptyDir": {}}),  # noqa: S108
        ({"name": "shm", "mountPath": "/dev/shm"}, {"name": "shm", "emptyDir": {"medium": "Memory"}}),  # noqa: S108
        ({"name": "state", "mountPath": folder}, {"name": "state", "emptyDir": {}}),
    ]
    if not settings.insecure:
        # Hashes of callers' tokens, as `token create` wrote them.
        file = f"{settings.service}.tokens.json"
        mount = {"name": "tokens", "mountPath": f"{folder}/{file}", "subPath": file, "readOnly": True}
        found.append((mount, {"name": "tokens", "secret": {"secretName": f"{name}-tokens"}}))
    if settings.require_signature is not None:
        mount = {"name": "key", "mountPath": str(settings.require_signature), "subPath": "key.pub", "readOnly": True}
        found.append((mount, {"name": "key", "secret": {"secretName": f"{name}-signature"}}))
    if "://" not in settings.store:
        claim = {"claimName": f"{name}-store", "readOnly": True}
        mount = {"name": "store", "mountPath": settings.store, "readOnly": True}
        found.append((mount, {"name": "store", "persistentVolumeClaim": claim}))
    if settings.prediction_log is not None:
        mount = {"name": "predictions", "mountPath": str(settings.prediction_log)}
        found.append((mount, {"name": "predictions", "persistentVolumeClaim": {"claimName": f"{name}-predictions"}}))
    return found


def _environment(settings: ServingSettings, pods: Pods) -> list[dict[str, Any]]:
    """Ports are Ray's own defaults, since a pod shares them with no other. The operator adds Ray's token."""
    variables = {
        **ray_environment.serve(pod.SCRATCH, None, settings.max_message_bytes, settings.max_in_flight, pods.cpu),
        "HOME": "/tmp",  # noqa: S108 - nothing else can be written
        # At SIGTERM, `ray start --block` drains its node.
        **ray_environment.draining(_drain_s(settings)),
    }
    own_address = [{"name": name, "valueFrom": _POD_IP} for name in (ray_environment.HOST_VARIABLE, NODE_VARIABLE)]
    return [*({"name": name, "value": variables[name]} for name in sorted(variables)), *own_address]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as it is, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _dump(document: Mapping[str, Any]) -> str:
    return str(yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=120))
