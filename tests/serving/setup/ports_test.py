"""Free ports: found in the range, consecutive, or an error."""

import socket
import threading

import pytest

from athanor.errors import SettingsError
from athanor.serving.setup import ports
from athanor.serving.setup.ports import can_serve_on, find_free_ports, is_free, reserved_ports


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not is_free(server.getsockname()[1])


def test_free_ports_are_consecutive(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {10_001, 10_005}
    monkeypatch.setattr(ports, "is_free", lambda port: port not in taken)
    assert find_free_ports(3, range(10_000, 10_009)) == 10_006
    assert find_free_ports(2, range(10_000, 10_004)) == 10_002


@pytest.mark.parametrize("taken", [{10_001}, set()])
def test_too_few_free_ports_are_an_error(monkeypatch: pytest.MonkeyPatch, taken: set[int]) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port not in taken)
    with pytest.raises(SettingsError, match="no 9 consecutive free ports from 10000 to 10007"):
        find_free_ports(9, range(10_000, 10_008))


def test_a_port_of_ipv6_is_looked_at_where_it_is() -> None:
    with socket.socket(socket.AF_INET6) as server:
        try:
            server.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"this machine has no IPv6: {error}")
        server.listen()
        port = server.getsockname()[1]
        assert not is_free(port, "::1")
        assert is_free(port)


def test_reserved_ports_are_refused_to_another_service_until_they_are_given_back() -> None:
    port = find_free_ports(2)
    with reserved_ports(port, port + 1):
        taken = rf"another service has port {port + 1}; choose another by --http-port"
        with pytest.raises(SettingsError, match=taken), reserved_ports(port + 2, port + 1):
            pass
        with reserved_ports(port + 3):
            pass
    with reserved_ports(port, port + 1):
        pass


def test_a_service_cannot_start_on_doors_of_one_that_is_starting() -> None:
    port = find_free_ports(2)
    with reserved_ports(port + 1):
        assert is_free(port + 1)
        assert not can_serve_on(port, port + 1)
    assert can_serve_on(port, port + 1)


def test_a_port_that_another_process_has_cannot_be_reserved() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} is taken"), reserved_ports(port):
            pass


def test_a_reservation_waits_for_a_port_that_is_about_to_be_free() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    closing = threading.Timer(0.1, server.close)
    closing.start()
    with reserved_ports(port, wait_s=60):
        assert is_free(port)
    closing.join()
