"""Settings of a service: closed, checked at start, never replaced by a default when wrong."""

import difflib
import json
import secrets
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from athanor.errors import SettingsError
from athanor.release.storage.locations import to_absolute

ENVIRONMENT_PREFIX: Final = "ATHANOR_SERVE_"
DEFAULT_HTTP_PORT: Final = 8000
DEFAULT_GRPC_PORT: Final = 9000
MAX_REPLICAS: Final = 64

# Where free ports are looked for: doors never stand where a service on this machine keeps its inner ports.
DOOR_PORTS: Final = range(10_000, 16_000)
INNER_PORTS: Final = range(16_000, 32_000)

# The same file whatever folder a replica runs in.
_File = Annotated[Path, AfterValidator(Path.absolute)]


class ServingSettings(BaseModel):
    """How one model is served. Each field is a flag, an environment variable and a key of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str = Field(description="Whose model.")
    store: str = Field(min_length=1, description="Release store, a folder or a URL.")
    folder: _File = Field(description="Where the service keeps its log, its state and its tokens.")

    host: str = Field("127.0.0.1", description="Address that the doors bind to; all else stays on this machine.")
    http_port: int = Field(DEFAULT_HTTP_PORT, ge=1, le=65_535, description="Port of the REST doors.")
    grpc_port: int = Field(DEFAULT_GRPC_PORT, ge=1, le=65_535, description="Port of the gRPC doors.")
    insecure: bool = Field(False, description="Let anybody in, without a token.")
    require_signature: _File | None = Field(
        None, description="File of a public key: only what was signed with its private key is served."
    )

    replicas: int = Field(1, ge=1, le=MAX_REPLICAS, description="Processes that answer; the fewest, where they scale.")
    max_replicas: int | None = Field(
        None, ge=1, le=MAX_REPLICAS, description="Most processes that answer; replicas scale where it is above them."
    )
    target_utilisation: float = Field(
        0.7, gt=0, le=1, description="Share of its time that a replica works, around which their number is chosen."
    )
    upscale_delay_s: float = Field(10.0, ge=0, description="Seconds of more work before a replica is added.")
    downscale_delay_s: float = Field(300.0, ge=0, description="Seconds of less work before a replica is taken away.")

    max_rows: int = Field(10_000, ge=1, description="Most rows in one request.")
    max_message_bytes: int = Field(16 * 1024 * 1024, ge=1024, description="Most bytes in one request.")
    max_in_flight: int = Field(256, ge=1, description="Most requests that one replica holds at a time.")
    max_deadline_s: float = Field(30.0, gt=0, description="Most seconds a request may wait for its answer.")

    traffic_poll_s: float = Field(0.5, gt=0, le=2, description="Seconds between two looks at the traffic file.")
    trace_ratio: float = Field(0.01, ge=0, le=1, description="Share of requests traced, where callers trace nothing.")
    access_log_ratio: float = Field(0.01, ge=0, le=1, description="Share of answered requests that are logged.")
    prediction_log: _File | None = Field(None, description="Folder that requests with their answers are kept in.")
    prediction_log_ratio: float = Field(1.0, ge=0, le=1, description="Share of requests that are kept there.")

    @field_validator("store", mode="before")
    @classmethod
    def _store_is_the_same_everywhere(cls, value: object) -> object:
        return to_absolute(value) if isinstance(value, Path | str) and str(value) else value

    @field_validator("folder", "prediction_log", "require_signature", mode="before")
    @classmethod
    def _files_are_on_this_machine(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError("is a URL; give a path on this machine")
        return value

    @model_validator(mode="after")
    def _settings_agree(self) -> "ServingSettings":
        if self.http_port == self.grpc_port:
            raise ValueError(f"http_port and grpc_port are both {self.http_port}; they must differ")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below replicas {self.replicas}")
        return self


def make_settings(**values: object) -> ServingSettings:
    """Raises SettingsError, which names every setting that cannot be."""
    try:
        return ServingSettings.model_validate(values)
    except ValidationError as error:
        problems = (
            f"{_name(e)}: {e['msg']} (given: {e['input']!r}){_suggest(e)}" for e in error.errors(include_url=False)
        )
        raise SettingsError("; ".join(problems)) from None


def _name(problem: Mapping[str, Any]) -> str:
    return ".".join(map(str, problem["loc"])) or "settings"


def _suggest(problem: Mapping[str, Any]) -> str:
    if problem["type"] != "extra_forbidden":
        return ""
    close = difflib.get_close_matches(_name(problem), ServingSettings.model_fields, 1)
    return f"; did you mean {close[0]}?" if close else ""


def read_settings_file(path: Path) -> Mapping[str, object]:
    """What a settings file says, one key for each setting: JSON if it is called so, else TOML.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        text = path.read_text()
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} is no settings file that can be read: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path} holds no settings by name")
    return found


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
