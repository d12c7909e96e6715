"""What a stranger tries, as a program for a network namespace of its own. Prints the results as JSON.

stranger.py connect HOST PORT…
stranger.py ask HOST HTTP_PORT GRPC_PORT MODEL [TOKEN]
stranger.py ray HOST PORT
stranger.py read HOST PORT…
"""

import http.client
import json
import socket
import sys
from typing import Any

import grpc

_TIMEOUT_S = 5.0


def connect(host: str, *ports: str) -> dict[str, str]:
    """The result of a connection to each port: `connected`, or the error's name."""
    found = {}
    for port in ports:
        try:
            with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S):
                found[port] = "connected"
        except OSError as error:
            found[port] = type(error).__name__
    return found


def ask(host: str, http_port: str, grpc_port: str, model: str, token: str = "") -> dict[str, Any]:
    """Status and body of each path, and the code of each method."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return {
        "rest": {
            f"{verb} {path}": _ask_rest(host, int(http_port), verb, path, headers) for verb, path in _paths(model)
        },
        "grpc": {
            method: _ask_grpc(f"{host}:{grpc_port}", method, tuple(headers.items())) for method in _methods(model)
        },
    }


def _paths(model: str) -> list[tuple[str, str]]:
    gets = ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/-/healthz", "/-/routes", "/%2D/routes"]
    gets += ["/metrics", "/openapi.json", "/docs", "/v2", f"/v2/models/{model}", f"/v2/models/{model}/ready", "/stats"]
    posts = [f"/v1/models/{model}:predict", f"/v1/models/{model}:features", f"/v2/models/{model}/infer"]
    return [*(("GET", path) for path in gets), *(("POST", path) for path in posts)]


def _methods(model: str) -> list[str]:
    typed = "".join(part.title() for part in model.split("_"))
    oip = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
    return [
        f"/{model}.v1.{typed}Service/Predict",
        "/athanor.inspection.v1.InspectionService/ComputeFeatures",
        *(f"/inference.GRPCInferenceService/{name}" for name in oip),
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/ray.serve.RayServeAPIService/ListApplications",
    ]


def _ask_rest(host: str, port: int, verb: str, path: str, headers: dict[str, str]) -> tuple[int | str, str]:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request(verb, path, body="{}" if verb == "POST" else None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except OSError as error:
        return type(error).__name__, ""
    finally:
        connection.close()


def _ask_grpc(target: str, method: str, metadata: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """Code, and what came with it. An empty message is a good one of every type."""
    with grpc.insecure_channel(target) as channel:
        try:
            if "Reflection" in method:
                # Field 7 of the request: list the services.
                calls = channel.stream_stream(method, None, None)(
                    iter([b"\x3a\x01*"]), metadata=metadata, timeout=_TIMEOUT_S
                )
                return "OK", repr(b"".join(calls))
            return "OK", repr(channel.unary_unary(method, None, None)(b"", metadata=metadata, timeout=_TIMEOUT_S))
        except grpc.RpcError as error:
            found: Any = error
            return found.code().name, found.details() or ""


def read(host: str, *ports: str) -> dict[str, int | str]:
    """What each port answers to an HTTP request for the metrics of Ray's agents: a status, or the error's name."""
    found: dict[str, int | str] = {}
    for port in ports:
        connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            found[port] = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            found[port] = type(error).__name__
        finally:
            connection.close()
    return found


def ray(host: str, port: str) -> str:
    """What the store of Ray's head answers. Ray takes mode and token from the environment."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # noqa: PLC0415 - others do without Ray

    try:
        return f"in: {len(GcsClient(address=f'{host}:{port}').internal_kv_keys(b'', b'serve'))}"
    except Exception as error:  # noqa: BLE001 - any error is a result
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    json.dump({"connect": connect, "ask": ask, "ray": ray, "read": read}[sys.argv[1]](*sys.argv[2:]), sys.stdout)  # type: ignore[operator]
