"""What Ray's worker processes do before anything else: they listen to this machine alone, and keep HAProxy running.

Ray binds the gRPC servers of its replicas and of its fallback proxy to all interfaces, whatever the node's address is.
On a cluster, HAProxy asks replicas of other nodes: there, and only there, the two ports of each replica at which it
asks for tokens itself are bound to the node's address. Serve's inner servers ask for none, and stay inside.
Ray runs `prepare_worker` in every worker that it starts, and ends the worker if that fails.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from grpc import _server as threaded
from grpc.aio import _server as asynchronous

from athanor.cluster.serve_haproxy import LOOPBACK

HOOK: Final = f"{__name__}.prepare_worker"
MAX_MESSAGE_VARIABLE: Final = "ATHANOR_INNER_MAX_MESSAGE_BYTES"
# Where the replicas of a node of a cluster wait for HAProxy.
HOST_VARIABLE: Final = "ATHANOR_INNER_HOST"

# The doors say more clearly what is too large: gRPC refuses only what is far beyond it, before it is read whole.
_ROOM_BYTES: Final = 64 * 1024
_EVERYWHERE: Final = ("[::]:", "0.0.0.0:", "*:")


def max_received_bytes(max_message_bytes: int) -> int:
    """The bytes of a message beyond which gRPC itself refuses it."""
    return max_message_bytes + _ROOM_BYTES


def prepare_worker() -> None:
    """Changes this process, and none but those that Ray starts."""
    _listen_inside()
    limit_messages(int(os.environ[MAX_MESSAGE_VARIABLE]))
    _keep_haproxy_running()


def to_loopback(address: str) -> str:
    """An address of a server, on this machine alone if it was on all interfaces."""
    for everywhere in _EVERYWHERE:
        if address.startswith(everywhere):
            return f"{LOOPBACK}:{address[len(everywhere) :]}"
    return address


def find_host(port: int) -> str:
    """Where a port of this process belongs: a replica's to HAProxy, wherever that runs, all others to this machine."""
    is_replicas = any(
        int(os.environ[f"RAY_SERVE_DIRECT_INGRESS_MIN_{protocol}_PORT"])
        <= port
        <= int(os.environ[f"RAY_SERVE_DIRECT_INGRESS_MAX_{protocol}_PORT"])
        for protocol in ("HTTP", "GRPC")
    )
    return os.environ[HOST_VARIABLE] if is_replicas else LOOPBACK


def _to_inside(address: str) -> str:
    inside = to_loopback(address)
    if inside == address or HOST_VARIABLE not in os.environ:
        return inside
    port = int(inside.rpartition(":")[2])
    return f"{find_host(port)}:{port}"


def _listen_inside() -> None:
    """All of Ray's servers of gRPC in Python are of this class, or of one below it."""
    for server in (asynchronous.Server, threaded._Server):
        _wrap(server, "add_insecure_port", _to_inside)
    if HOST_VARIABLE in os.environ:
        _listen_inside_for_http()


def _listen_inside_for_http() -> None:
    """Ray has one host for the doors and for all that stands behind them."""
    from ray.serve._private import proxy, replica

    start: Any = vars(replica)["start_asgi_http_server"]

    async def start_inside(app: Any, http_options: Any, **options: Any) -> Any:
        inside = http_options.model_copy(update={"host": find_host(http_options.port)})
        return await start(app, inside, **options)

    for module in (proxy, replica):
        setattr(module, "start_asgi_http_server", start_inside)  # noqa: B010 - what a type checker should not hold to


def _wrap(server: Any, name: str, change: Callable[[str], str]) -> None:
    bind = getattr(server, name)

    def bind_changed(self: Any, address: str) -> Any:
        return bind(self, change(address))

    setattr(server, name, bind_changed)


def limit_messages(max_message_bytes: int) -> None:
    """Has the servers that this process is going to start refuse what is far too large; see `max_received_bytes`."""
    from ray.serve._private import constants

    # In place: modules have imported the list by name. Answers are ours, and may be as large as they are.
    constants.DEFAULT_GRPC_SERVER_OPTIONS[:] = [
        ("grpc.max_receive_message_length", max_received_bytes(max_message_bytes)),
        ("grpc.max_send_message_length", -1),
    ]


@dataclass
class _Watch:
    """What is known of one HAProxy.

    Attributes:
        starting: held while a process starts: only then it is known which one is current.
        reviving: held by whoever puts another in the place of one that ended.
    """

    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    reviving: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_stopped: bool = False
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)


def _keep_haproxy_running() -> None:
    """Starts HAProxy again as soon as it ends by itself. Ray would notice after three failed checks of its health."""
    from ray.serve._private.haproxy import HAProxyApi

    keep_running(HAProxyApi)


def keep_running(api_class: Any) -> None:
    """Changes a class that has `_proc`, `_start_and_wait_for_haproxy`, `_graceful_reload` and `stop` as Ray's has."""
    watches: WeakKeyDictionary[Any, _Watch] = WeakKeyDictionary()
    start: Callable[..., Awaitable[Any]] = api_class._start_and_wait_for_haproxy
    reload: Callable[..., Awaitable[None]] = api_class._graceful_reload
    stop: Callable[..., Awaitable[None]] = api_class.stop

    async def start_and_watch(self: Any, *arguments: str, **options: Any) -> Any:
        watch = watches.setdefault(self, _Watch())
        async with watch.starting:
            process = await start(self, *arguments, **options)
        task = asyncio.create_task(revive_when_ended(self, process))
        watch.tasks.add(task)
        task.add_done_callback(watch.tasks.discard)
        return process

    async def revive_when_ended(self: Any, process: Any) -> None:
        await process.wait()
        await revive(self, process)

    async def revive(self: Any, process: Any) -> None:
        watch = watches[self]
        async with watch.reviving:
            # One that another is about to replace has been told to end.
            async with watch.starting:
                is_replaced = self._proc is not process
            if not is_replaced and not watch.is_stopped:
                self._proc = await self._start_and_wait_for_haproxy()

    async def reload_running(self: Any) -> None:
        if self._proc is not None and self._proc.returncode is not None:
            await revive(self, self._proc)
        await reload(self)

    async def stop_for_good(self: Any) -> None:
        watches.setdefault(self, _Watch()).is_stopped = True
        await stop(self)

    api_class._start_and_wait_for_haproxy = start_and_watch
    api_class._graceful_reload = reload_running
    api_class.stop = stop_for_good


def call_when_draining(on_draining: Callable[[], None]) -> None:
    """Calls back when Serve starts to drain this process's replica, which still takes requests then.

    Serve tells a replica's own code nothing before it has closed the servers: the ASGI lifespan ends after that.
    """
    from ray.serve._private.replica import Replica

    drain: Any = Replica.perform_graceful_shutdown

    async def report_and_drain(self: Any) -> None:
        on_draining()
        await drain(self)

    Replica.perform_graceful_shutdown = report_and_drain  # type: ignore[method-assign]


def set_version(deployment: Any, version: str) -> None:
    """Gives a deployment a version. Serve replaces its replicas only if that changes.

    Serve has removed its public option, and makes up a new version at each deployment.
    """
    deployment._version = version
