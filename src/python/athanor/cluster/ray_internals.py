"""Every private name of Ray, Ray Serve and gRPC that we use or replace: what to look at when Ray is upgraded.

Environment variables are in `ray_environment`, HAProxy's configuration in `haproxy`. Beside each use stands
why, and the public API that would replace it. All were read in Ray `RAY_VERSION`: another version is refused, and so is
one in which a name is not where it was. `tests/cluster` reads the installed Ray, and names what has moved.

Ray binds the gRPC servers of its replicas and of its fallback proxy to all interfaces, whatever the node's address is.
`prepare_worker` keeps them on loopback. On a cluster, HAProxy asks replicas of other nodes: there, and only there, the
two ports of each replica that ask for callers' tokens are bound to the node's address. Serve's inner servers ask for no
token, and stay on loopback.
"""

import asyncio
import functools
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from grpc import _server as threaded
from grpc.aio import _server as asynchronous

from athanor.cluster import ray_agent
from athanor.cluster.addresses import Address
from athanor.cluster.grpc_options import server_options
from athanor.cluster.haproxy.serve_haproxy import LOOPBACK
from athanor.cluster.ray_environment import HOST_VARIABLE, MAX_MESSAGE_VARIABLE
from athanor.errors import ServiceError, SettingsError

RAY_VERSION: Final = "2.60.0"
ALLOW_VARIABLE: Final = "ATHANOR_ALLOW_RAY_VERSION"

# The command `ray` as a module, since binaries of ours have no console scripts.
RAY_PROGRAM: Final = "ray.scripts.scripts"

# A node's ports from its first on: node manager, object manager, four agents; then workers.
PORTS_OF_A_NODE: Final = 200
_FIRST_WORKER: Final = 10
# `GcsNodeInfo.state` of a node that is alive.
_ALIVE: Final = 0
# Where nothing can listen.
_NO_DASHBOARD: Final = b"127.0.0.1:0"

_ALL_INTERFACES: Final = ("[::]", "0.0.0.0", "*", "")  # noqa: S104 - what is looked for


def require_known_version() -> None:
    """Raises SettingsError if Ray is not the version that this module was written for, unless a variable allows it."""
    installed = metadata.version("ray")
    if installed not in (RAY_VERSION, os.environ.get(ALLOW_VARIABLE)):
        raise SettingsError(
            f"Ray {installed} is installed, but athanor.cluster was written for Ray {RAY_VERSION}: what it keeps on "
            f"loopback and hides from strangers may have moved; install {RAY_VERSION}, or run tests/cluster and "
            f"tests/integration with {installed} and set {ALLOW_VARIABLE}={installed}"
        )


def find(owner: Any, name: str) -> Any:
    """Returns what a module or class itself defines, to be replaced.

    Raises:
        SettingsError: it is not there. To start without the replacement could open a port to strangers.
    """
    if name not in vars(owner):
        module = getattr(owner, "__module__", None)
        raise SettingsError(
            f"{f'{module}.' if module else ''}{owner.__name__} defines no {name}, which athanor.cluster.ray_internals "
            f"replaces; it was written for Ray {RAY_VERSION}, and Ray {metadata.version('ray')} is installed"
        )
    return vars(owner)[name]


def start_local(scratch: Path, object_store_bytes: int, num_cpus: int | None, namespace: str | None) -> "RunningNode":
    """Starts a Ray of one node, and returns it: `ray.init` says nothing of the processes that it starts.

    Its folder is a private argument of `ray.init`; `ray start` has it as `--temp-dir`.

    Raises:
        ServiceError: Ray does not start.
    """
    import ray
    from ray._private import worker

    _skip_unused_processes()
    _end_agents_with_raylet()
    try:
        ray.init(
            address="local",
            namespace=namespace,
            num_cpus=num_cpus,
            object_store_memory=object_store_bytes,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            job_config=_make_job(),
            _temp_dir=str(scratch / "r"),
        )
    except Exception as error:
        raise ServiceError(f"Ray does not start: {error}") from error
    return RunningNode(worker._global_node)


def connect(address: Address, node_host: str, namespace: str | None) -> None:
    """Connects to a cluster by a node that runs here. `ray.init` finds it by itself only where no other node runs."""
    import ray

    ray.init(
        address=str(address),
        namespace=namespace,
        log_to_driver=False,
        # What goes wrong is raised as well.
        logging_level=logging.CRITICAL,
        job_config=_make_job(),
        _node_ip_address=node_host,
    )


def _make_job() -> Any:
    """A job whose workers import what their node does.

    Ray puts the folder of the driver's script, and the one that it was started in, first on the import path of its
    workers. A `working_dir` in `runtime_env` is the public way to prevent that, but copies the folder to each worker.
    """
    from ray.job_config import JobConfig

    class JobWithoutPaths(JobConfig):
        def _get_proto_job_config(self) -> Any:
            self._py_driver_sys_path: list[str] = []
            return super()._get_proto_job_config()  # type: ignore[no-untyped-call]

    find(JobConfig, "_get_proto_job_config")
    return JobWithoutPaths()


class ClusterNode(NamedTuple):
    """A node that is alive."""

    host: str
    is_head: bool


def find_nodes(address: Address, timeout_s: float) -> list[ClusterNode]:
    """Asks the head for its nodes, before Ray is connected: `ray.nodes` and `ray.util.state` need a node of one's own.

    Raises:
        ray.exceptions.AuthenticationError: the head refuses the token.
        Exception: whatever Ray's client says of a head that does not answer.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    nodes = GcsClient(address=str(address)).get_all_node_info(timeout=timeout_s).values()
    return [ClusterNode(node.node_manager_address, node.is_head_node) for node in nodes if node.state == _ALIVE]


def find_head() -> str:
    """The ID of the head of the cluster that this process is connected to. `ray.nodes` has no other mark of it."""
    import ray
    from ray._common.constants import HEAD_NODE_RESOURCE_NAME

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return next(str(node["NodeID"]) for node in nodes if node["Alive"] and HEAD_NODE_RESOURCE_NAME in node["Resources"])


class RunningNode:
    """A node whose processes end with this one. `ray start --block` fixes fewer ports of a cluster's than this does."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def find_ended(self) -> list[str]:
        """Returns the kinds of processes that ended."""
        return [kind for kind, _ in self._node.dead_processes()]

    def drain(self) -> None:
        """Has Serve start this node's replicas elsewhere and stop them here, each after its last request.

        Returns when they are gone, or after RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S. `ray start --block` does the same at
        SIGTERM; the public `ray drain-node` does not wait.
        """
        self._node._drain_node_before_shutdown()

    def stop(self, *, graceful: bool) -> None:
        self._node.kill_all_processes(check_alive=False, allow_graceful=graceful, wait=True)


def start_node(
    host: str, name: str, cluster: Address, first_port: int, object_store_bytes: int, scratch: Path, *, is_head: bool
) -> RunningNode:
    """Starts a node of a cluster. Raises ServiceError if Ray does not start it."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    _skip_unused_processes()
    _end_agents_with_raylet()
    parameters = RayParams(
        node_ip_address=host,
        node_name=name,
        node_manager_port=first_port,
        object_manager_port=first_port + 1,
        runtime_env_agent_port=first_port + 2,
        metrics_agent_port=first_port + 3,
        metrics_export_port=first_port + 4,
        dashboard_agent_listen_port=first_port + 5,
        min_worker_port=first_port + _FIRST_WORKER,
        max_worker_port=first_port + PORTS_OF_A_NODE - 1,
        object_store_memory=object_store_bytes,
        include_dashboard=False,
        temp_dir=str(scratch / "r"),
        gcs_server_port=cluster.port if is_head else None,
        gcs_address=None if is_head else str(cluster),
    )
    try:
        return RunningNode(Node(parameters, head=is_head, shutdown_at_exit=True, spawn_reaper=True))
    except Exception as error:
        raise ServiceError(f"node {host} does not start: {error}") from error


def _skip_unused_processes() -> None:
    """Each costs a second of the start and a port: the autoscaler of nodes, the reader of logs, the dashboard.

    `include_dashboard=False` alone starts the dashboard's process without its pages; the others have no switch.
    """
    from ray._private.node import Node
    from ray._private.ray_constants import DASHBOARD_ADDRESS, KV_NAMESPACE_DASHBOARD

    def start_nothing(self: Node, **options: object) -> None:
        pass

    def name_no_dashboard(self: Node, **options: object) -> None:
        # Each node's agent looks for this address once a second, and logs a traceback while it is missing.
        key = DASHBOARD_ADDRESS.encode()
        self.get_gcs_client().internal_kv_put(key, _NO_DASHBOARD, True, KV_NAMESPACE_DASHBOARD)  # type: ignore[no-untyped-call]

    for name in ("start_monitor", "start_log_monitor", "start_api_server"):
        find(Node, name)
        setattr(Node, name, start_nothing if name != "start_api_server" else name_no_dashboard)


def _end_agents_with_raylet() -> None:
    """A raylet starts its agents by commands that are made here. Ray has no switch for what they do when it ends."""
    from ray._private import services

    name = "_build_python_executable_command_memory_profileable"
    build = find(services, name)

    def build_ending(*arguments: Any, **options: Any) -> list[str]:
        return [*build(*arguments, **options), "-m", ray_agent.__name__]

    if not hasattr(build, "__wrapped__"):
        setattr(services, name, functools.update_wrapper(build_ending, build))


def find_doors() -> Address | None:
    """Returns where the running Serve listens for HTTP; None if it does not run. `serve.status` does not say it."""
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False)
    return Address(client.http_config.host, client.http_config.port) if client else None


def set_version(deployment: Any, version: str) -> None:
    """Serve replaces replicas of another version, and makes one up for each deploy. Its API no longer takes one."""
    deployment._version = version


def prepare_worker() -> None:
    """Changes this process before it does anything; Ray runs it in each worker, and ends a worker in which it fails."""
    require_known_version()
    _bind_inside()
    limit_messages(int(os.environ[MAX_MESSAGE_VARIABLE]))
    _supervise_haproxy()


def limit_messages(max_message_bytes: int) -> None:
    """Bounds the memory that callers take in this process's future gRPC servers. `gRPCOptions` has no such options."""
    from ray.serve._private import constants

    # In place, since other modules have imported the list by name.
    find(constants, "DEFAULT_GRPC_SERVER_OPTIONS")[:] = server_options(max_message_bytes)


def to_inside(address: str) -> str:
    """The address at which a server of Ray's listens instead of the one that Ray chose.

    Raises:
        SettingsError: it is neither on all interfaces nor on one that is known to be guarded.
    """
    host, _, port = address.rpartition(":")
    if host in _ALL_INTERFACES and port.isdecimal():
        return f"{find_host(int(port))}:{port}"
    if address.startswith("unix:") or host in (LOOPBACK, "[::1]", "localhost", os.environ.get(HOST_VARIABLE)):
        return address
    raise SettingsError(
        f"a server of Ray's would listen at {address}; athanor.cluster.ray_internals allows loopback and the node's "
        "address, and replaces all interfaces by one of them"
    )


def find_host(port: int) -> str:
    """Where a port of this process belongs: a replica's to HAProxy, wherever that runs, all others to this machine."""
    if HOST_VARIABLE not in os.environ:
        return LOOPBACK
    from ray.serve._private import constants

    is_replicas = any(
        find(constants, f"RAY_SERVE_DIRECT_INGRESS_MIN_{protocol}_PORT")
        <= port
        <= find(constants, f"RAY_SERVE_DIRECT_INGRESS_MAX_{protocol}_PORT")
        for protocol in ("HTTP", "GRPC")
    )
    return os.environ[HOST_VARIABLE] if is_replicas else LOOPBACK


def _bind_inside() -> None:
    """Each gRPC server of Ray's in Python is one of these. Serve has no option for the address of its inner servers."""
    for server in (asynchronous.Server, threaded._Server):
        _bind_server_inside(server)
    if HOST_VARIABLE in os.environ:
        _bind_http_inside()


def _bind_server_inside(server: Any) -> None:
    bind = find(server, "add_insecure_port")

    def bind_inside(self: Any, address: str) -> Any:
        return bind(self, to_inside(address))

    server.add_insecure_port = bind_inside


def _bind_http_inside() -> None:
    """Serve's `HTTPOptions` have one host for HAProxy, the replicas behind it and the fallback proxy."""
    from ray.serve._private import haproxy, proxy, replica

    start = find(replica, "start_asgi_http_server")

    async def start_inside(app: Any, http_options: Any, **options: Any) -> Any:
        inside = http_options.model_copy(update={"host": find_host(http_options.port)})
        return await start(app, inside, **options)

    for module in (proxy, replica):
        find(module, "start_asgi_http_server")
        setattr(module, "start_asgi_http_server", start_inside)  # noqa: B010 - what a type checker should not hold to
    # HAProxy asks replicas of its own node at this address, and they listen at another.
    find(haproxy, "get_localhost_ip")
    setattr(haproxy, "get_localhost_ip", lambda: os.environ[HOST_VARIABLE])  # noqa: B010


@dataclass
class _Supervision:
    """What is known of one HAProxy.

    Attributes:
        starting: held while a process starts, since only then it is clear which one is current.
        restarting: held while a process that ended is replaced.
    """

    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    restarting: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_stopped: bool = False
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)


def _supervise_haproxy() -> None:
    """Starts HAProxy again as soon as it ends by itself. Ray notices only after three failed health checks."""
    from ray.serve._private.haproxy import HAProxyApi

    supervise(HAProxyApi)


def supervise(api_class: Any) -> None:
    """Changes a class that has `_proc`, `_start_and_wait_for_haproxy`, `_graceful_reload` and `stop` as Ray's has."""
    supervisions: WeakKeyDictionary[Any, _Supervision] = WeakKeyDictionary()
    start: Callable[..., Awaitable[Any]] = find(api_class, "_start_and_wait_for_haproxy")
    reload: Callable[..., Awaitable[None]] = find(api_class, "_graceful_reload")
    stop: Callable[..., Awaitable[None]] = find(api_class, "stop")

    async def start_supervised(self: Any, *arguments: str, **options: Any) -> Any:
        supervision = supervisions.setdefault(self, _Supervision())
        async with supervision.starting:
            process = await start(self, *arguments, **options)
        task = asyncio.create_task(restart_when_ended(self, process))
        supervision.tasks.add(task)
        task.add_done_callback(supervision.tasks.discard)
        return process

    async def restart_when_ended(self: Any, process: Any) -> None:
        await process.wait()
        await restart(self, process)

    async def restart(self: Any, process: Any) -> None:
        supervision = supervisions[self]
        async with supervision.restarting:
            # A reload ends the process that it is about to replace.
            async with supervision.starting:
                is_replaced = self._proc is not process
            if not is_replaced and not supervision.is_stopped:
                self._proc = await self._start_and_wait_for_haproxy()

    async def reload_running(self: Any) -> None:
        if self._proc is not None and self._proc.returncode is not None:
            await restart(self, self._proc)
        await reload(self)

    async def stop_for_good(self: Any) -> None:
        supervisions.setdefault(self, _Supervision()).is_stopped = True
        await stop(self)

    api_class._start_and_wait_for_haproxy = start_supervised
    api_class._graceful_reload = reload_running
    api_class.stop = stop_for_good


def call_when_draining(on_draining: Callable[[], Awaitable[None]]) -> None:
    """Calls back when Serve starts to drain this process's replica, which takes requests until the callback returns.

    Serve tells a replica's own code nothing before it has closed the servers: the ASGI lifespan ends after that. It
    counts none of our requests, and after a second closes each connection whose request is not read yet.
    """
    from ray.serve._private.replica import Replica

    drain: Callable[..., Awaitable[None]] = find(Replica, "perform_graceful_shutdown")

    async def report_and_drain(self: Any) -> None:
        await on_draining()
        await drain(self)

    Replica.perform_graceful_shutdown = report_and_drain  # type: ignore[method-assign]
