"""Addresses of a cluster's head and of this machine."""

import pytest

from athanor.cluster.addresses import (
    Address,
    find_local_address,
    is_local,
    is_loopback,
    require_local,
    resolve,
)
from athanor.errors import SettingsError


@pytest.mark.parametrize("text", ["10.0.0.1:6379", "[::1]:6379", "[fe80::1]:1", "127.0.0.1:65535"])
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text


def test_a_name_becomes_its_address() -> None:
    assert Address.parse("localhost:6379") == Address("127.0.0.1", 6379)


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", ":6379", "127.0.0.1:0", "127.0.0.1:many", "127.0.0.1:65536", "::1:6379", "[10.0.0.1]:1", "[]:1"],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"is not the address of a Ray head; give HOST:PORT or \[IPV6\]:PORT"):
        Address.parse(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "no.such.host.invalid"])  # noqa: S104 - what is refused
def test_a_host_that_others_cannot_reach_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=r"such as 10\.0\.0\.1"):
        resolve(host)


def test_what_belongs_to_this_machine_is_known() -> None:
    assert is_local("127.0.0.1")
    # Of a network for examples, RFC 5737.
    assert not is_local("192.0.2.1")
    assert require_local("127.0.0.1") == "127.0.0.1"
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1 is not an address of this machine; give one by --host"):
        require_local("192.0.2.1")


def test_loopback_is_known_in_both_families() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert not is_loopback("10.0.0.1")


def test_the_address_towards_a_peer_is_found() -> None:
    assert find_local_address(Address("127.0.0.1", 1)) == "127.0.0.1"
    # The kernel asks for a permission of its own to broadcast.
    with pytest.raises(SettingsError, match=r"no route leads from this machine to 255\.255\.255\.255:1"):
        find_local_address(Address("255.255.255.255", 1))
