"""TLS and mutual TLS, with certificates of the test's own authority."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from client.certificates import Authority, Signed
from client.scripted import IMPATIENT, ScriptedService, serving
from support.flights import make_flight

from athanor.client.client import Client, connect
from athanor.client.connection.target import parse_target
from athanor.errors import ServiceError, SettingsError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def own(authority: Authority) -> Signed:
    """The client's certificate."""
    return authority.sign("client")


def _credentials(authority: Authority, is_mutual: bool) -> grpc.ServerCredentials:
    signed = authority.sign("service")
    return grpc.ssl_server_credentials(
        [(signed.key.read_bytes(), signed.certificate.read_bytes())],
        authority.path.read_bytes() if is_mutual else None,
        require_client_auth=is_mutual,
    )


@pytest.fixture
def tls(service: ScriptedService, authority: Authority) -> Iterator[str]:
    with serving(service, _credentials(authority, is_mutual=False)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def mutual_tls(service: ScriptedService, authority: Authority) -> Iterator[str]:
    with serving(service, _credentials(authority, is_mutual=True)) as port:
        yield f"127.0.0.1:{port}"


@pytest.mark.parametrize("scheme", ["", "grpcs://"])
def test_a_service_is_called_over_tls(tls: str, authority: Authority, scheme: str) -> None:
    with connect(scheme + tls, ca=authority.path) as connection:
        assert Client("delays", connection).predict([make_flight()]).semantic_version == "1.0.0"


def test_a_certificate_of_another_authority_is_refused_without_retries(
    tls: str, service: ScriptedService, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    with connect(tls, ca=other.path) as connection:
        client = Client("delays", connection)
        with pytest.raises(ServiceError, match="CERTIFICATE_VERIFY_FAILED"):
            client.predict([make_flight()])
        assert client.retries == 0
    assert service.asked == 0


def test_without_an_authority_the_public_ones_are_trusted(tls: str, service: ScriptedService) -> None:
    with connect(f"grpcs://{tls}") as connection, pytest.raises(ServiceError, match="CERTIFICATE_VERIFY_FAILED"):
        Client("delays", connection).predict([make_flight()])
    assert service.asked == 0


def test_a_service_may_require_a_client_certificate(mutual_tls: str, authority: Authority, own: Signed) -> None:
    with connect(mutual_tls, ca=authority.path, certificate=own.certificate, key=own.key) as connection:
        assert len(Client("delays", connection).predict([make_flight()]).predictions) == 1


def test_a_client_without_a_certificate_is_refused(
    mutual_tls: str, authority: Authority, service: ScriptedService
) -> None:
    with connect(mutual_tls, ca=authority.path, retry=IMPATIENT) as connection, pytest.raises(ServiceError):
        Client("delays", connection).predict([make_flight()])
    assert service.asked == 0


def test_a_client_certificate_of_another_authority_is_refused(
    mutual_tls: str, authority: Authority, service: ScriptedService, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "other").sign("stranger")
    with (
        connect(
            mutual_tls, ca=authority.path, certificate=stranger.certificate, key=stranger.key, retry=IMPATIENT
        ) as connection,
        pytest.raises(ServiceError),
    ):
        Client("delays", connection).predict([make_flight()])
    assert service.asked == 0


def test_files_that_are_not_pem_are_refused_by_connect(tmp_path: Path, own: Signed) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"\x00 no certificate")
    with pytest.raises(SettingsError, match=r"TLS cannot use ca .*garbage.pem: .*; give PEM files"):
        connect("h:1", ca=garbage)
    with pytest.raises(SettingsError, match=r"TLS cannot use certificate .*garbage.pem, key .*: .*; give PEM files"):
        connect("h:1", certificate=garbage, key=own.key)


def test_missing_files_are_refused_by_connect(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"TLS cannot use ca .*absent.pem: .*No such file"):
        connect("h:1", ca=tmp_path / "absent.pem")


def test_a_key_of_another_certificate_is_refused(authority: Authority, own: Signed) -> None:
    other = authority.sign("other")
    with pytest.raises(SettingsError, match="KEY_VALUES_MISMATCH"):
        connect("h:1", certificate=own.certificate, key=other.key)


def test_an_encrypted_key_is_refused_without_asking_for_a_password(authority: Authority) -> None:
    locked = authority.sign("locked", password=b"secret")
    with pytest.raises(SettingsError, match="the key is encrypted"):
        connect("h:1", certificate=locked.certificate, key=locked.key)


@pytest.mark.parametrize("given", ["certificate", "key"])
def test_certificate_and_key_go_together(own: Signed, given: str) -> None:
    with pytest.raises(SettingsError, match="give both certificate and key, or neither"):
        connect("h:1", **{given: getattr(own, given)})


def test_plain_text_with_certificates_is_refused(authority: Authority) -> None:
    with pytest.raises(SettingsError, match="is plain text, but certificates were given; give grpcs://h:1"):
        connect("grpc://h:1", ca=authority.path)


@pytest.mark.parametrize(
    ("text", "address", "is_tls", "is_loopback"),
    [
        ("localhost:9000", "localhost:9000", None, True),
        ("grpc://127.0.0.2:1", "127.0.0.2:1", False, True),
        ("grpcs://[::1]:9000", "[::1]:9000", True, True),
        ("service.example:443", "service.example:443", None, False),
        ("10.0.0.1:9000", "10.0.0.1:9000", None, False),
        ("localhost.example:9000", "localhost.example:9000", None, False),
    ],
)
def test_a_target_is_parsed(text: str, address: str, is_tls: bool | None, is_loopback: bool) -> None:
    target = parse_target(text)
    assert (target.address, target.is_tls, target.is_loopback) == (address, is_tls, is_loopback)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":9000",
        "host:0",
        "host:65536",
        "http://host:1",
        "host:1/path",
        "dns:///host:1",
        "unix:/tmp/socket",
        "a b:1",
        "user:secret@host:1",
        "host:\N{FULLWIDTH DIGIT ONE}",
    ],
)
def test_an_invalid_target_is_refused(text: str) -> None:
    with pytest.raises(
        SettingsError, match="is not an address; give host:port, grpc://host:port or grpcs://host:port"
    ) as e:
        connect(text)
    assert "secret" not in str(e.value)
