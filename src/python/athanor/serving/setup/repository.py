"""The models of a service by its settings, loaded."""

from athanor.errors import AthanorError
from athanor.model_names import is_exact
from athanor.release.signing.trust import Trust
from athanor.release.store import ReleaseStore
from athanor.serving.answering.core import Core
from athanor.serving.answering.follower import Listener
from athanor.serving.answering.loading import Loader
from athanor.serving.answering.repository import ModelState, Repository
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.settings import ServingSettings


def open_repository(settings: ServingSettings, listener: Listener) -> Repository:
    """Loads and proves the models of a service. Raises as `Repository`."""
    store, served = ReleaseStore(settings.store), ServicePaths.of(settings).served

    def make_loader(model: str) -> Loader:
        key = settings.require_signature
        trust = Trust(key, served / f"{model}.json") if key else None
        return Loader(model, store, settings.max_rows, trust)

    return Repository(store, settings.models, make_loader, listener)


def prove_models(settings: ServingSettings) -> list[ModelState]:
    """Loads and proves the models of a service, as a replica does when it starts. Returns how each stands.

    Raises:
        NotFoundError: a model that is given by its name was never promoted, or was withdrawn.
        AthanorError: there are models, and none of them can be loaded; says why.
    """
    store = ReleaseStore(settings.store)
    for model in filter(is_exact, settings.models):
        store.read_traffic(model).require_champion()
    return open_repository(settings, _Silent()).states()


class _Silent:
    def on_loaded(self, core: Core, seconds: float) -> None:
        pass

    def on_failed(self, model: str, error: AthanorError, core: Core | None) -> None:
        pass

    def on_left(self, core: Core) -> None:
        pass
