"""A reception with all its real parts, for doors of the same process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from athanor.serving.access.authentication import Authenticator
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import make_token
from athanor.serving.answering.batcher import Batcher
from athanor.serving.answering.core import Core
from athanor.serving.doors.handler import Reception
from athanor.serving.doors.shadow import Shadow
from athanor.serving.setup.paths import ServicePlace
from athanor.serving.setup.settings import ServingSettings, make_settings
from athanor.serving.telemetry.telemetry import Telemetry
from projects.flight_delay.model import MODEL


@dataclass(frozen=True)
class Counter:
    """Where requests are received.

    Attributes:
        token, admin: of the scopes `predict` and `admin`; of no use where anybody is let in.
    """

    reception: Reception
    settings: ServingSettings
    batcher: Batcher
    token: str
    admin: str

    def metrics(self) -> str:
        return self.reception.telemetry.render_metrics()[0].decode()


@contextmanager
def open_counter(core: Core, folder: Path, insecure: bool = True, **settings: object) -> Iterator[Counter]:
    """A reception, open until the context ends."""
    made = make_settings(project=MODEL.name, store=folder / "store", folder=folder, insecure=insecure, **settings)
    place = ServicePlace.of(made)
    folder.mkdir(parents=True, exist_ok=True)
    token, admin = (make_token(place.tokens, scope.value, scope) for scope in (Scope.PREDICT, Scope.ADMIN))
    telemetry = Telemetry(made, core.contract)
    batcher, shadow = Batcher(core, made.max_in_flight), Shadow(core, telemetry.shadow_dropped)
    reception = Reception(core, batcher, shadow, None if insecure else Authenticator(place.tokens), telemetry)
    try:
        yield Counter(reception, made, batcher, token, admin)
    finally:
        shadow.close()
        batcher.close()
        telemetry.close()
