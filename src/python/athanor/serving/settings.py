"""Settings of a service: closed, checked at start, never replaced by a default when wrong."""

import secrets
import socket
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from athanor.errors import SettingsError
from athanor.release.places import to_absolute

DEFAULT_HTTP_PORT: Final = 8000
DEFAULT_GRPC_PORT: Final = 9000
MAX_REPLICAS: Final = 64

# Where free ports are looked for: doors never stand where a service on this machine keeps its inner ports.
DOOR_PORTS: Final = range(10_000, 16_000)
INNER_PORTS: Final = range(16_000, 32_000)


class ServingSettings(BaseModel):
    """How one model is served.

    Attributes:
        project: whose model.
        store: folder or URL of the release store.
        host: address that the doors bind to.
        max_rows: most rows in one request.
        require_signature: file of a public key; a release that nobody signed with its private key is not served.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    store: str = Field(min_length=1)
    host: str = "127.0.0.1"
    http_port: int = Field(DEFAULT_HTTP_PORT, ge=1, le=65_535)
    grpc_port: int = Field(DEFAULT_GRPC_PORT, ge=1, le=65_535)
    replicas: int = Field(1, ge=1, le=MAX_REPLICAS)
    max_rows: int = Field(10_000, ge=1)
    require_signature: Path | None = None

    @field_validator("store", mode="before")
    @classmethod
    def _store_is_the_same_everywhere(cls, value: object) -> object:
        return to_absolute(value) if isinstance(value, Path | str) and str(value) else value

    @field_validator("require_signature")
    @classmethod
    def _key_is_the_same_everywhere(cls, value: Path | None) -> Path | None:
        return value.absolute() if value else None

    @model_validator(mode="after")
    def _ports_differ(self) -> "ServingSettings":
        if self.http_port == self.grpc_port:
            raise ValueError(f"http_port and grpc_port are both {self.http_port}; they must differ")
        return self


def make_settings(**values: object) -> ServingSettings:
    """Raises SettingsError, which names every setting that cannot be."""
    try:
        return ServingSettings.model_validate(values)
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']} (given: {e['input']!r})" for e in error.errors()
        )
        raise SettingsError("; ".join(problems)) from None


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def find_free_ports(count: int, among: range = DOOR_PORTS) -> int:
    """The first of `count` free ports in a row.

    It begins anywhere, so that two that search at once hardly ever find the same.

    Args:
        among: below those that the system gives to outgoing connections.

    Raises:
        SettingsError: there are none.
    """
    firsts = among[::count]
    begin = secrets.randbelow(len(firsts))
    for first in (*firsts[begin:], *firsts[:begin]):
        if first + count <= among.stop and all(is_free(first + offset) for offset in range(count)):
            return int(first)
    raise SettingsError(f"no {count} free ports in a row from {among.start} to {among.stop - 1}")
