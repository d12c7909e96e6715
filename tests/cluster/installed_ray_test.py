"""The installed Ray is as `athanor.cluster` needs it: after an upgrade, this names what has moved."""

import inspect
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import grpc
import pytest
import ray
from grpc import _server as threaded
from grpc._cython import cygrpc
from ray import job_config, serve
from ray._private import node, parameter, ray_constants, services, worker
from ray.serve import context
from ray.serve._private import client, constants, grpc_util, haproxy, http_util, proxy, replica
from ray.serve.schema import LoggingConfig

from athanor.cluster import ray_environment, ray_internals
from athanor.cluster.grpc_options import server_options
from athanor.cluster.local import local_ray
from athanor.cluster.ray_internals import ALLOW_VARIABLE, RAY_VERSION
from athanor.errors import SettingsError
from athanor.system.code.import_path import child_variables

# What is replaced, and the parameters by which Ray calls it.
_REPLACED: Final[dict[Callable[..., Any], tuple[str, ...]]] = {
    grpc.aio._server.Server.add_insecure_port: ("self", "address"),
    threaded._Server.add_insecure_port: ("self", "address"),
    http_util.start_asgi_http_server: ("app", "http_options", "event_loop", "enable_so_reuseport"),
    vars(haproxy)["get_localhost_ip"]: (),
    haproxy.HAProxyApi._start_and_wait_for_haproxy: ("self", "extra_args", "timeout_s"),
    haproxy.HAProxyApi._graceful_reload: ("self",),
    haproxy.HAProxyApi.stop: ("self",),
    replica.Replica.perform_graceful_shutdown: ("self",),
    job_config.JobConfig._get_proto_job_config: ("self",),
    services._build_python_executable_command_memory_profileable: ("component", "session_dir", "unbuffered"),
    node.Node.start_monitor: ("self",),
    node.Node.start_log_monitor: ("self",),
    node.Node.start_api_server: ("self", "include_dashboard", "raise_on_failure"),
}

# What is called, and the parameters that we pass.
_CALLED: Final[dict[Callable[..., Any], tuple[str, ...]]] = {
    node.Node: ("ray_params", "head", "shutdown_at_exit", "spawn_reaper"),
    node.Node.kill_all_processes: ("check_alive", "allow_graceful", "wait"),
    node.Node.dead_processes: (),
    node.Node._drain_node_before_shutdown: (),
    parameter.RayParams: (
        "node_ip_address",
        "node_name",
        "node_manager_port",
        "object_manager_port",
        "runtime_env_agent_port",
        "metrics_agent_port",
        "metrics_export_port",
        "dashboard_agent_listen_port",
        "min_worker_port",
        "max_worker_port",
        "object_store_memory",
        "include_dashboard",
        "temp_dir",
        "gcs_server_port",
        "gcs_address",
    ),
    context._get_global_client: ("raise_if_no_controller_running",),
    LoggingConfig: ("enable_access_log", "log_level"),
}


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def test_the_module_was_written_for_the_version_in_the_lock() -> None:
    assert metadata.version("ray") == RAY_VERSION
    ray_internals.require_known_version()


@pytest.mark.parametrize("allowed", [None, "2.61.0", RAY_VERSION, ""])
def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, allowed: str | None) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "9.9.9")
    if allowed is not None:
        monkeypatch.setenv(ALLOW_VARIABLE, allowed)
    with pytest.raises(SettingsError, match=rf"Ray 9\.9\.9 is installed.*tests/cluster.*{ALLOW_VARIABLE}=9\.9\.9"):
        ray_internals.require_known_version()
    with pytest.raises(SettingsError, match="is installed"):
        ray_internals.prepare_worker()


def test_no_ray_of_another_version_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "9.9.9")
    with pytest.raises(SettingsError, match=r"Ray 9\.9\.9 is installed"), local_ray(tmp_path, {}):
        pass
    assert not list(tmp_path.iterdir())


def test_another_version_runs_if_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "9.9.9")
    monkeypatch.setenv(ALLOW_VARIABLE, "9.9.9")
    ray_internals.require_known_version()


@pytest.mark.parametrize("function", _REPLACED, ids=lambda each: each.__qualname__)
def test_what_is_replaced_has_the_known_parameters(function: Callable[..., Any]) -> None:
    assert _parameters(function) == _REPLACED[function]


@pytest.mark.parametrize("function", _CALLED, ids=lambda each: each.__qualname__)
def test_what_is_called_takes_what_is_passed(function: Callable[..., Any]) -> None:
    assert set(_CALLED[function]) <= set(_parameters(function))


def test_private_arguments_of_init_are_there() -> None:
    source = inspect.getsource(worker.init)
    for name in ("_node_ip_address", "_temp_dir"):
        assert f'kwargs.pop("{name}"' in source


def test_the_driver_adds_no_folder_to_the_import_path_of_workers() -> None:
    assert "job_config._py_driver_sys_path.extend(" in inspect.getsource(worker.connect)
    for job, kept in ((job_config.JobConfig(), ["/folder"]), (ray_internals._make_job(), [])):
        job._py_driver_sys_path.extend(["/folder"])
        assert [*job._get_proto_job_config().py_driver_sys_path] == kept


def test_an_agent_looks_for_the_dashboard_where_it_is_named() -> None:
    agent = (Path(ray.__file__).parent / "dashboard" / "modules" / "event" / "event_agent.py").read_text()
    for name in ("DASHBOARD_ADDRESS", "KV_NAMESPACE_DASHBOARD"):
        assert f"ray_constants.{name}" in agent
        assert name in vars(ray_constants)


def test_both_agents_and_nothing_else_that_starts_end_with_the_raylet(tmp_path: Path) -> None:
    name = "_build_python_executable_command_memory_profileable("
    assert inspect.getsource(services.start_raylet).count(name) == inspect.getsource(services).count(name) - 2 == 2
    built = services._build_python_executable_command_memory_profileable
    try:
        for _ in range(2):
            ray_internals._end_agents_with_raylet()
        command = services._build_python_executable_command_memory_profileable("agent", str(tmp_path))
        assert command == [sys.executable, "-u", "-m", "athanor.cluster.ray_agent"]
    finally:
        services._build_python_executable_command_memory_profileable = built


def test_each_place_that_starts_a_server_is_known() -> None:
    # All of Ray's gRPC servers in Python bind by the replaced methods.
    assert issubclass(grpc_util.gRPCGenericServer, grpc.aio._server.Server)
    assert "add_insecure_port" not in vars(grpc_util.gRPCGenericServer)
    for module in (proxy, replica):
        assert vars(module)["start_asgi_http_server"] is http_util.start_asgi_http_server
    assert isinstance(constants.DEFAULT_GRPC_SERVER_OPTIONS, list)
    assert vars(grpc_util)["DEFAULT_GRPC_SERVER_OPTIONS"] is constants.DEFAULT_GRPC_SERVER_OPTIONS
    for protocol in ("HTTP", "GRPC"):
        assert isinstance(vars(constants)[f"RAY_SERVE_DIRECT_INGRESS_MIN_{protocol}_PORT"], int)


def test_what_is_read_of_private_objects_is_there() -> None:
    assert "_proc" in inspect.getsource(haproxy.HAProxyApi.__init__)
    assert isinstance(client.ServeControllerClient.http_config, property)


def test_init_keeps_the_node_that_it_starts() -> None:
    assert "_global_node" in vars(worker)
    assert "_global_node = ray._private.node.Node(" in inspect.getsource(worker.init)


def test_what_is_set_on_private_attributes_is_what_the_libraries_read() -> None:
    deployment: Any = serve.deployment(name="x")(dict)
    ray_internals.set_version(deployment, "7")
    assert deployment.version == deployment.options(num_replicas=2).version == "7"


@pytest.mark.parametrize("owner", [http_util, haproxy.HAProxyApi, SimpleNamespace(__name__="x")])
def test_what_is_not_where_it_was_is_named(owner: Any) -> None:
    with pytest.raises(SettingsError, match=rf"{owner.__name__} defines no gone, .* was written for Ray {RAY_VERSION}"):
        ray_internals.find(owner, "gone")


_FIXED: Final = {
    (grpc.aio._server.Server, "add_insecure_port"),
    (threaded._Server, "add_insecure_port"),
    (constants, "DEFAULT_GRPC_SERVER_OPTIONS"),
    (proxy, "start_asgi_http_server"),
    (replica, "start_asgi_http_server"),
    (haproxy, "get_localhost_ip"),
    (haproxy.HAProxyApi, "_start_and_wait_for_haproxy"),
    (haproxy.HAProxyApi, "_graceful_reload"),
    (haproxy.HAProxyApi, "stop"),
}


@pytest.mark.parametrize(("owner", "name"), sorted(_FIXED, key=str))
def test_a_worker_without_one_of_its_changes_does_not_run(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    # What the others change is given back.
    for other, changed in _FIXED:
        monkeypatch.setattr(other, changed, vars(other)[changed])
    monkeypatch.setattr(constants, "DEFAULT_GRPC_SERVER_OPTIONS", [*constants.DEFAULT_GRPC_SERVER_OPTIONS])
    monkeypatch.setenv(ray_environment.MAX_MESSAGE_VARIABLE, "2048")
    monkeypatch.setenv(ray_environment.HOST_VARIABLE, "10.0.0.7")
    monkeypatch.delattr(owner, name)
    with pytest.raises(SettingsError, match=f"defines no {name}, which athanor.cluster.ray_internals replaces"):
        ray_internals.prepare_worker()


def test_haproxy_asks_a_replica_of_its_own_node_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_environment.HOST_VARIABLE, "10.0.0.7")
    for owner, name in _FIXED:
        monkeypatch.setattr(owner, name, vars(owner)[name])
    manager: Any = SimpleNamespace(_node_ip_address="10.0.0.7", _generate_server_name=lambda target: target.name)
    replica_here: Any = SimpleNamespace(ip="10.0.0.7", port=40_000, name="replica")
    # Ray wraps the methods of an actor's class.
    to_server: Any = inspect.unwrap(haproxy.HAProxyManager._target_to_server)
    assert to_server(manager, replica_here).host == "127.0.0.1"
    ray_internals._bind_http_inside()
    assert to_server(manager, replica_here).host == "10.0.0.7"


def _readers() -> bytes:
    """What reads environment variables in the installed Ray."""
    package = Path(ray.__file__).parent
    files = [
        *(package / "_private").glob("*.py"),
        *(package / "_private" / "accelerators").glob("*.py"),
        *(package / "_common" / "usage").glob("*.py"),
        *(package / "serve" / "_private").glob("*.py"),
        package / "data" / "context.py",
        package / "data" / "_internal" / "logging.py",
        package / "_raylet.so",
    ]
    return b"".join(file.read_bytes() for file in files)


def test_ray_reads_each_variable_that_is_set(tmp_path: Path) -> None:
    assert ray_environment._WORKER_HOOK == ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR
    ports = ray_environment.ServePorts(1, 10, 20, 4)
    variables = {
        **ray_environment.serve(tmp_path, ports, 1, 1, 1),
        **ray_environment.local_ray(tmp_path),
        **ray_environment.driver("127.0.0.1", tmp_path),
        **ray_environment.node("127.0.0.1", tmp_path),
        **ray_environment.DATA,
    }
    known, readers = {"GRPC_VERBOSITY", *child_variables(), ray_environment.MAX_MESSAGE_VARIABLE}, _readers()
    # Ray's C++ adds the prefix itself.
    unread = [name for name in variables.keys() - known if name.removeprefix("RAY_").encode() not in readers]
    assert unread == []
    assert b"SERVE_HAPROXY_NO_SUCH_NAME" not in readers


def test_grpc_reads_each_option_that_is_set() -> None:
    core = Path(cygrpc.__file__).read_bytes()
    assert [name for name, _ in server_options(1) if name.encode() not in core] == []
    assert b"grpc.no_such_option" not in core
