"""TLS in front of a real service: docker/edge/haproxy.cfg as it lies there, run by Debian's HAProxy."""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import pytest
from client.certificates import Authority, Signed
from integration.service import PROJECT, Service
from support.processes import wait_until

from athanor.serving.setup.ports import find_free_ports
from delays.v1 import delays_pb2, delays_pb2_grpc

_CONFIGURATION: Final = Path("docker/edge/haproxy.cfg")
_HAPROXY: Final = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
_TIMEOUT_S: Final = 60.0
_CONNECTIONS: Final = 32

pytestmark = pytest.mark.skipif(_HAPROXY is None, reason="Debian's haproxy is not installed")


@dataclass(frozen=True)
class Edge:
    """An edge that runs.

    Attributes:
        ca: certificate of the authority that signed its own.
        client: a certificate that a mutual edge accepts.
        foreign: a certificate of another authority.
    """

    port: int
    grpc_port: int
    ca: Path
    client: Signed
    foreign: Signed
    foreign_ca: Path
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@contextmanager
def _running_edge(folder: Path, service: Service, mutual: bool) -> Iterator[Edge]:
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    signed = ours.sign("edge")
    (folder / "edge.pem").write_bytes(signed.certificate.read_bytes() + signed.key.read_bytes())
    port = find_free_ports(2)
    edge = Edge(
        port, port + 1, ours.path, ours.sign("caller"), theirs.sign("foreign"), theirs.path, folder / "edge.log"
    )
    variables = {
        "EDGE_CERTIFICATE": str(folder / "edge.pem"),
        "EDGE_BIND": f"127.0.0.1:{port}",
        "EDGE_GRPC_BIND": f"127.0.0.1:{port + 1}",
        "EDGE_GRPC_DOOR": service.grpc,
        "EDGE_REST_DOOR": service.http,
        "EDGE_CONNECTIONS": str(_CONNECTIONS),
        **({"EDGE_CLIENT_CA": str(ours.path)} if mutual else {}),
    }
    assert _HAPROXY
    with ExitStack() as stack:
        log = stack.enter_context(edge.log.open("wb"))
        process = subprocess.Popen(
            [_HAPROXY, "-db", "-f", str(_CONFIGURATION)], stderr=log, env={**os.environ, **variables}
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert wait_until(lambda: _listens(edge.grpc_port), _TIMEOUT_S), edge.log.read_text()
        yield edge


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def edge(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with _running_edge(tmp_path_factory.mktemp("edge"), service, mutual=False) as running:
        yield running


@pytest.fixture(scope="module")
def mutual(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with _running_edge(tmp_path_factory.mktemp("mutual"), service, mutual=True) as running:
        yield running


def _get(edge: Edge, path: str, service: Service | None, ca: Path, client: Signed | None = None) -> httpx.Response:
    context = ssl.create_default_context(cafile=str(ca))
    if client:
        context.load_cert_chain(client.certificate, client.key)
    headers = dict([service.authorization]) if service else {}
    with httpx.Client(verify=context, trust_env=False, timeout=_TIMEOUT_S) as http:
        return http.get(f"{edge.url}{path}", headers=headers)


def _predict(
    port: int, flight: Any, service: Service | None, ca: Path, client: Signed | None = None
) -> delays_pb2.PredictResponse:
    pair = (client.key.read_bytes(), client.certificate.read_bytes()) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), *pair)
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        stub = delays_pb2_grpc.DelaysServiceStub(channel)
        metadata = (service.authorization,) if service else ()
        request = delays_pb2.PredictRequest(flights=[flight])
        return stub.Predict(request, metadata=metadata, timeout=_TIMEOUT_S)


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    found: Any = error
    code = found.code()
    assert isinstance(code, grpc.StatusCode)
    return code


@pytest.mark.parametrize("port", ["port", "grpc_port"])
def test_grpc_over_tls_answers_as_the_door_does(
    edge: Edge, service: Service, flights: list[Any], stub: delays_pb2_grpc.DelaysServiceStub, port: str
) -> None:
    through = _predict(getattr(edge, port), flights[0], service, edge.ca)
    direct = stub.Predict(delays_pb2.PredictRequest(flights=flights[:1]), timeout=_TIMEOUT_S)
    assert through.predictions == direct.predictions
    assert through.semantic_version == direct.semantic_version


def test_rest_over_tls_answers_on_the_same_port(edge: Edge, service: Service) -> None:
    answer = _get(edge, f"/v2/models/{PROJECT}", service, edge.ca)
    assert answer.status_code == 200
    assert answer.json()["name"] == PROJECT
    assert "max-age" in answer.headers["strict-transport-security"]


def test_tls_alone_lets_in_no_caller_without_a_token(edge: Edge, flights: list[Any]) -> None:
    assert _get(edge, f"/v2/models/{PROJECT}", None, edge.ca).status_code == 401
    with pytest.raises(grpc.RpcError) as refused:
        _predict(edge.port, flights[0], None, edge.ca)
    assert _code(refused.value) is grpc.StatusCode.UNAUTHENTICATED


def test_a_caller_that_trusts_another_root_does_not_connect(edge: Edge, service: Service, flights: list[Any]) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        _get(edge, "/livez", service, edge.foreign_ca)
    with pytest.raises(grpc.RpcError) as refused:
        _predict(edge.port, flights[0], service, edge.foreign_ca)
    assert _code(refused.value) is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls_lets_in_a_caller_with_a_certificate(mutual: Edge, service: Service, flights: list[Any]) -> None:
    assert _get(mutual, "/livez", None, mutual.ca, mutual.client).status_code == 200
    for port in (mutual.port, mutual.grpc_port):
        assert len(_predict(port, flights[0], service, mutual.ca, mutual.client).predictions) == 1


@pytest.mark.parametrize("certificate", [None, "foreign"])
def test_mutual_tls_refuses_a_caller_without_one_or_of_another_root(
    mutual: Edge, service: Service, flights: list[Any], certificate: str | None
) -> None:
    client = getattr(mutual, certificate) if certificate else None
    # With TLS 1.3 the refusal comes after the handshake of the client's side: at its first read.
    with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
        _get(mutual, "/livez", service, mutual.ca, client)
    for port in (mutual.port, mutual.grpc_port):
        with pytest.raises(grpc.RpcError) as refused:
            _predict(port, flights[0], service, mutual.ca, client)
        assert _code(refused.value) is grpc.StatusCode.UNAVAILABLE


def _handshake(edge: Edge, version: ssl.TLSVersion, ciphers: str) -> str:
    """The version agreed on with a client that accepts any cipher offered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(edge.ca)
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", edge.port), timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        return str(wrapped.version())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_of_today_is_spoken(edge: Edge, version: ssl.TLSVersion) -> None:
    assert _handshake(edge, version, "ALL") == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_refused(edge: Edge) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        _handshake(edge, ssl.TLSVersion.TLSv1_1, "ALL")


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "aNULL", "ECDHE-ECDSA-AES256-SHA384"])
def test_ciphers_without_forward_secrecy_or_authentication_are_refused(edge: Edge, ciphers: str) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        _handshake(edge, ssl.TLSVersion.TLSv1_2, ciphers)


def test_the_log_names_requests_and_holds_no_token(edge: Edge, service: Service, flights: list[Any]) -> None:
    _predict(edge.port, flights[0], service, edge.ca)
    _get(edge, f"/v2/models/{PROJECT}?key={service.token}", service, edge.ca)
    log = edge.log.read_text
    assert wait_until(lambda: f"GET /v2/models/{PROJECT} 200" in log() and "/Predict 200" in log(), _TIMEOUT_S)
    assert service.token not in log()


def _is_live(edge: Edge, address: str) -> bool:
    """Whether a caller at an address of this machine is answered."""
    context = ssl.create_default_context(cafile=str(edge.ca))
    transport = httpx.HTTPTransport(verify=context, local_address=address)
    try:
        with httpx.Client(transport=transport, trust_env=False, timeout=_TIMEOUT_S) as http:
            return http.get(f"{edge.url}/livez").status_code == 200
    except httpx.TransportError:
        return False


# Python's ssl does not close a socket that the edge resets before the handshake begins.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_an_address_with_too_many_connections_leaves_room_for_others(edge: Edge) -> None:
    with ExitStack() as stack:
        for _ in range(2 * _CONNECTIONS):
            with suppress(ConnectionResetError):
                held = socket.create_connection(("127.0.0.1", edge.port), _TIMEOUT_S, ("127.0.0.3", 0))
                stack.callback(held.close)
        assert not _is_live(edge, "127.0.0.3")
        assert _is_live(edge, "127.0.0.2")
    assert wait_until(lambda: _is_live(edge, "127.0.0.3"), _TIMEOUT_S)
