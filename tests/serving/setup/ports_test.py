"""Free ports: found in the range, consecutive, or an error."""

import socket

import pytest

from athanor.errors import SettingsError
from athanor.serving.setup import ports
from athanor.serving.setup.ports import find_free_ports, is_free


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
