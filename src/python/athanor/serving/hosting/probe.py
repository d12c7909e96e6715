"""Whether a service answers, asked at its doors as a load balancer asks."""

import http.client
from typing import Any, Final

import grpc

from athanor.serving.setup.paths import ServiceState
from grpc_health.v1 import health_pb2, health_pb2_grpc

_TIMEOUT_S: Final = 2.0
_READY: Final = "/readyz"
# Through no proxy that the environment names.
_DIRECT: Final = (("grpc.enable_http_proxy", 0),)
# The addresses of this machine at which doors on all interfaces answer.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is replaced


def find_fault(state: ServiceState) -> str | None:
    """Why a service takes no requests; None if it says at both doors that it does."""
    return _ask_rest(*_split(state.http)) or _ask_grpc(*_split(state.grpc))


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    return _LOOPBACK.get(host, host), int(port)


def _ask_rest(host: str, port: int) -> str | None:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", _READY)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"REST does not answer at {host}:{port}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"REST answers {status} at {host}:{port}{_READY}"


def _ask_grpc(host: str, port: int) -> str | None:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with grpc.insecure_channel(address, _DIRECT) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # the type stubs lack its methods
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S).status
        except grpc.RpcError as error:
            failure: Any = error  # the type stubs lack the code
            return f"gRPC does not answer at {address}: {failure.code().name}"
    if status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return f"gRPC answers {health_pb2.HealthCheckResponse.ServingStatus.Name(status)} at {address}"
