"""A request handler with all its real parts, for doors in the same process."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from athanor.serving.access.authentication import Authenticator
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import make_token
from athanor.serving.answering.batching.capacity import Share
from athanor.serving.answering.core import Core
from athanor.serving.doors.handler import RequestHandler
from athanor.serving.doors.models.served import ServedModel, ServedModels
from athanor.serving.replica.listener import ReplicaListener
from athanor.serving.replica.status import StatusFolder
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.repository import open_repository
from athanor.serving.setup.settings import ServingSettings, make_settings
from athanor.serving.telemetry.telemetry import Telemetry
from projects.delays.model import MODEL


@dataclass(frozen=True)
class OpenHandler:
    """A handler that takes requests.

    Attributes:
        tokens: one of each scope; not needed where the handler lets everyone in.
    """

    handler: RequestHandler
    settings: ServingSettings
    tokens: Mapping[Scope, str]

    @property
    def tokens_path(self) -> Path:
        return ServicePaths.of(self.settings).tokens

    @property
    def token(self) -> str:
        """Of scope `predict`."""
        return self.tokens[Scope.PREDICT]

    @property
    def admin(self) -> str:
        """Of scope `admin`."""
        return self.tokens[Scope.ADMIN]

    @property
    def model(self) -> ServedModel:
        """The first one."""
        return next(iter(self.handler.models))

    @property
    def share(self) -> Share:
        """What its requests hold."""
        return self.model.batcher.share

    @property
    def held(self) -> int:
        """Bytes and requests that are held, whatever they are for."""
        capacity = self.handler.models.capacity
        return capacity.bytes.held + capacity.requests.held

    def metrics(self) -> str:
        return self.handler.telemetry.render_metrics()[0].decode()

    def close(self) -> None:
        """Records everything that waits."""
        for part in (self.handler.repository, self.handler.models, self.handler.telemetry):
            part.close()

    def predictions(self) -> list[dict[str, Any]]:
        """The rows of the prediction log."""
        found: list[dict[str, Any]] = ds.dataset(self.settings.prediction_log, format="parquet").to_table().to_pylist()
        return found


@contextmanager
def open_handler(core: Core, folder: Path, insecure: bool = True, **settings: object) -> Iterator[OpenHandler]:
    """A handler of the core of a test, which follows nothing."""
    with open_handler_of([core], folder, insecure, **settings) as opened:
        yield opened


@contextmanager
def open_handler_of(
    cores: Iterable[Core], folder: Path, insecure: bool = True, **settings: object
) -> Iterator[OpenHandler]:
    """A handler of several models."""
    made = make_settings(service=MODEL.name, store=folder / "store", folder=folder, insecure=insecure, **settings)
    place = ServicePaths.of(made)
    folder.mkdir(parents=True, exist_ok=True)
    made_tokens = {scope: make_token(place.tokens, scope.value, scope) for scope in Scope}
    telemetry = Telemetry(made)
    models = ServedModels(telemetry, made)
    for core in cores:
        models.put(core)
    repository = open_repository(made, ReplicaListener(models, telemetry, StatusFolder(place.replicas)))
    tokens = None if insecure else Authenticator(place.tokens)
    opened = OpenHandler(RequestHandler(models, repository, tokens, telemetry, made), made, made_tokens)
    try:
        yield opened
    finally:
        opened.close()
