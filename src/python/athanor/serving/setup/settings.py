"""Settings of a service: a closed set, checked at start. A wrong value is an error, never replaced by its default."""

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from athanor.cluster.addresses import parse_host
from athanor.errors import SettingsError
from athanor.model_names import EVERY_MODEL, check_patterns
from athanor.release.storage.locations import to_absolute
from athanor.serving.setup.names import check_service
from athanor.system.url_secrets import mask_secrets

ENVIRONMENT_PREFIX: Final = "ATHANOR_SERVE_"
DEFAULT_HTTP_PORT: Final = 8000
DEFAULT_GRPC_PORT: Final = 9000
MAX_REPLICAS: Final = 64
# What a replica may take, after its last request, to write what it has recorded.
CLOSING_S: Final = 5.0

# Absolute, because replicas run in other folders.
_File = Annotated[Path, AfterValidator(Path.absolute)]


class ServingSettings(BaseModel):
    """How models are served. Each field is a flag, an environment variable and a key of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Annotated[str, AfterValidator(check_service)] = Field(description="Name of the service.")
    models: tuple[str, ...] = Field(EVERY_MODEL, description="Models to serve: names, or patterns such as flight*.")
    store: str = Field(min_length=1, repr=False, description="Release store: a folder or a URL.")
    folder: _File = Field(description="Folder of the service's log, state and tokens.")

    host: str = Field("127.0.0.1", description="Address that REST and gRPC bind to; all else binds to loopback.")
    http_port: int = Field(DEFAULT_HTTP_PORT, ge=1, le=65_535, description="Port of REST.")
    grpc_port: int = Field(DEFAULT_GRPC_PORT, ge=1, le=65_535, description="Port of gRPC.")
    insecure: bool = Field(False, description="Accept calls without a token.")
    require_signature: _File | None = Field(
        None, description="Public key file; serve only releases signed with its private key."
    )

    replicas: int = Field(1, ge=1, le=MAX_REPLICAS, description="Number of replicas; the minimum when autoscaling.")
    max_replicas: int | None = Field(
        None, ge=1, le=MAX_REPLICAS, description="Maximum number of replicas; more than replicas turns autoscaling on."
    )
    target_utilisation: float = Field(
        0.7, gt=0, le=1, description="Share of time a replica is busy; autoscaling aims at it."
    )
    upscale_delay_s: float = Field(10.0, ge=0, description="Seconds of higher load before a replica is added.")
    downscale_delay_s: float = Field(300.0, ge=0, description="Seconds of lower load before a replica is removed.")

    max_rows: int = Field(10_000, ge=1, description="Maximum rows in one request.")
    max_message_bytes: int = Field(16 * 1024 * 1024, ge=1024, description="Maximum bytes in one request.")
    max_in_flight: int = Field(256, ge=1, description="Maximum requests in flight in one replica.")
    max_in_flight_by_model: dict[str, PositiveInt] = Field(
        default_factory=dict, description="Maximum requests in flight of single models, such as flight_delay=64."
    )
    max_deadline_s: float = Field(30.0, gt=0, description="Maximum deadline of a request, in seconds.")
    # HAProxy ends what it still sends by a replaced configuration after 120 s.
    grace_period_s: float = Field(
        30.0, ge=0, le=100, description="Seconds that accepted requests may take after a replica is asked to stop."
    )
    max_connections: int = Field(4096, ge=64, le=100_000, description="Maximum connections at once, of each door.")
    max_connections_per_address: int = Field(
        1024, ge=1, description="Maximum connections at once of one address to a door; a proxy in front counts as one."
    )

    traffic_poll_s: float = Field(0.5, gt=0, le=2, description="Seconds between two reads of the traffic file.")
    trace_ratio: float = Field(0.01, ge=0, le=1, description="Share of requests traced, unless the caller decides.")
    access_log_ratio: float = Field(0.01, ge=0, le=1, description="Share of successful requests in the access log.")
    prediction_log: _File | None = Field(None, description="Folder of the prediction log; off by default.")
    prediction_log_ratio: float = Field(1.0, ge=0, le=1, description="Share of requests in the prediction log.")

    @field_validator("models")
    @classmethod
    def _check_models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("is empty; give names of models or patterns, * for all")
        check_patterns(value)
        return value

    @field_validator("max_in_flight_by_model", mode="before")
    @classmethod
    def _split_pairs(cls, value: object) -> object:
        """The flag and the environment give `NAME=NUMBER,…`."""
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",")]
        return {name.strip(): number.strip() for name, _, number in pairs}

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        return parse_host(value)

    @field_validator("store", mode="before")
    @classmethod
    def _make_store_absolute(cls, value: object) -> object:
        return to_absolute(value) if isinstance(value, Path | str) and str(value) else value

    @field_validator("folder", "prediction_log", "require_signature", mode="before")
    @classmethod
    def _refuse_urls(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError("is a URL; give a path on this machine")
        return value

    @model_validator(mode="after")
    def _compare_fields(self) -> "ServingSettings":
        if self.http_port == self.grpc_port:
            raise ValueError(f"http_port and grpc_port are both {self.http_port}; they must differ")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below replicas {self.replicas}")
        return self


def make_settings(**values: object) -> ServingSettings:
    """Raises SettingsError, which names every unknown or invalid setting with its value."""
    try:
        return ServingSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("; ".join(map(_describe, error.errors(include_url=False)))) from None


def _describe(problem: Mapping[str, Any]) -> str:
    name = ".".join(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    given = mask_secrets(repr(problem["input"]))
    # Checks of several fields name their values themselves.
    if not name:
        return str(message)
    if problem["type"] == "missing":
        return f"{name}: is required"
    if problem["type"] != "extra_forbidden":
        return f"{name}: {message} (given: {given})"
    close = difflib.get_close_matches(name, ServingSettings.model_fields, 1)
    remedy = f"; did you mean {close[0]}?" if close else ""
    return f"{name}: is not a setting (given: {given}){remedy}"


def read_settings_file(path: Path) -> Mapping[str, object]:
    """Values in a settings file by setting: JSON if its name ends in .json, else TOML.

    Raises:
        SettingsError: the file cannot be read, or is not a table of settings.
    """
    try:
        text = path.read_text()
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise SettingsError(f"settings file {path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"settings file {path} holds no table of settings; give one key for each setting")
    return found
